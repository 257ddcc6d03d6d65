// Infers from its tensors to which mixture a model was quantized (quantization.hpp).
#include <algorithm>
#include <cstddef>
#include <map>
#include <set>
#include <tuple>

#include "hartonomous/quantization.hpp"

namespace hartonomous {

namespace {

// The name without its block's number, which is the same for corresponding tensors of all blocks.
std::string kind_of(std::string_view name) {
  std::string kind(name);
  const std::size_t begin = kind.find_first_of("0123456789");
  if (begin == std::string::npos) return kind;
  const std::size_t end = kind.find_first_not_of("0123456789", begin);
  return kind.erase(begin, end == std::string::npos ? end : end - begin);
}

struct candidate {
  std::string name;
  std::size_t rank;  // 0 for a single format; then the mixtures, smallest first
  std::uint64_t weights;
};

std::uint64_t added(std::uint64_t a, std::uint64_t b) noexcept { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }

class mixture_recognizer {
 public:
  mixture_recognizer(const mixture_traits& traits, span<const stored_tensor_outline> tensors) : tensors_(tensors) {
    std::vector<quantized_tensor> quantized;
    kinds_.reserve(tensors.size());
    for (const stored_tensor_outline& tensor : tensors) {
      const bool may = tensor.matrices != 0 && may_quantize(tensor.name, traits.gguf);
      quantized.push_back({tensor.name, may, tensor.matrices, tensor.run});
      kinds_.push_back(kind_of(tensor.name));
    }
    planner_.emplace(traits, quantized);
  }

  // The weights of the matrices whose format is one that the mixture gives to tensors of their kind. Blocks are not
  // compared one by one, because the blocks of a student are renumbered.
  std::uint64_t weights_of(const quantization_mixture& mixture, bool asked) const {
    const std::vector<format> given = planner_->formats(mixture, false);
    std::set<std::pair<std::string_view, format>> possible;
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      if (tensors_[i].matrices == 0) continue;
      possible.emplace(kinds_[i], fitting_format_or_carried(given[i], tensors_[i].run));
      possible.emplace(kinds_[i], fitting_format_or_carried(mixture.base, tensors_[i].run));
    }
    std::uint64_t weights = 0;
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      if (tensors_[i].matrices == 0 || possible.count({kinds_[i], tensors_[i].stored}) == 0) continue;
      // Rows that fit no quantized block are F16 in every mixture, so they are evidence only for a mixture that was
      // asked for.
      if (tensors_[i].stored != format::F16 || asked) weights = added(weights, tensors_[i].weights);
    }
    return weights;
  }

 private:
  span<const stored_tensor_outline> tensors_;
  std::vector<std::string> kinds_;
  std::optional<mixture_planner> planner_;
};

}  // namespace

std::optional<std::string> main_format(const mixture_traits& traits, span<const stored_tensor_outline> tensors,
                                       const quantization_mixture* asked) {
  std::map<format, std::uint64_t> by_format;
  for (const stored_tensor_outline& tensor : tensors) {
    if (tensor.matrices == 0) continue;
    std::uint64_t& weights = by_format[tensor.stored];
    weights = added(weights, tensor.weights);
  }
  if (by_format.empty()) return std::nullopt;
  std::vector<candidate> candidates;
  candidates.reserve(by_format.size() + quantization_mixtures().size());
  for (const auto& [stored, weights] : by_format) candidates.push_back({traits_of(stored).name, 0, weights});
  const mixture_recognizer recognizer(traits, tensors);
  std::size_t rank = 0;
  for (const quantization_mixture& mixture : quantization_mixtures()) {
    candidates.push_back({mixture.name, ++rank, recognizer.weights_of(mixture, &mixture == asked)});
    if (candidates.back().weights == 0) candidates.pop_back();
  }
  const std::string wanted = asked != nullptr ? asked->name : "";
  const auto better = [&](const candidate& a, const candidate& b) {
    const bool a_asked = a.name == wanted, b_asked = b.name == wanted;
    return std::tie(b.weights, b_asked, a.rank, a.name) < std::tie(a.weights, a_asked, b.rank, b.name);
  };
  return std::min_element(candidates.begin(), candidates.end(), better)->name;
}

}  // namespace hartonomous
