// Two networks side by side, one of which is rounded as it runs (hartonomous/sequential_quantizer.hpp).
#include "hartonomous/sequential_quantizer.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "hartonomous/error.hpp"
#include "hartonomous/tensor_name.hpp"
#include "sequential/correction.hpp"
#include "sequential/watched_source.hpp"

namespace hartonomous {
namespace sequential_detail {
namespace {

// Keeps the inputs of a block's matrices, and the streams to which their outputs are added.
class recorder final : public watched_source {
 public:
  using watched_source::watched_source;

  struct input_record {
    std::vector<float> x;
    std::size_t columns = 0;
  };
  // nullptr for experts, which see other tokens in the two networks.
  const input_record* input_of(const std::string& tensor) const {
    const auto found = groups_.find(tensor);
    return found == groups_.end() ? nullptr : &records_.at(found->second);
  }
  // Before the `part`th addition of the block, from 0.
  const std::vector<float>& stream_before(std::size_t addition) const { return streams_.at(addition); }

  void stream(const float* x, std::size_t tokens, std::size_t width) override {
    streams_.emplace_back(x, x + tokens * width);
  }
  void clear() {
    forget_inputs();
    groups_.clear();
    records_.clear();
    streams_.clear();
  }

 protected:
  std::unique_ptr<row_reader> open_matrix(const std::string& name, row_range rows, const matrix_input& input) override {
    if (rows.count == find(name)->rows) {
      groups_[name] = input.group;
      input_record& record = records_[input.group];
      if (record.columns == 0) record = {{input.x, input.x + input.tokens * input.columns}, input.columns};
    }
    return from().open(name, rows);
  }

 private:
  std::map<std::string, std::size_t> groups_;
  std::map<std::size_t, input_record> records_;
  std::vector<std::vector<float>> streams_;
};

// Rows that are in memory.
class memory_reader final : public row_reader {
 public:
  memory_reader(std::vector<float> values, std::size_t columns) : values_(std::move(values)), columns_(columns) {}
  const float* next(std::size_t count) override {
    const float* rows = values_.data() + next_ * columns_;
    next_ += count;
    return rows;
  }

 private:
  std::vector<float> values_;
  std::size_t columns_, next_ = 0;
};

// The second network's weights: rounded when they are about to be used for the first time, and used once.
class rounding_source final : public watched_source {
 public:
  rounding_source(tensor_source& from, const recorder& original, matrix_rounder& rounder,
                  const sequential_options& options)
      : watched_source(from), original_(original), rounder_(rounder), options_(options) {}

  void use(thread_pool& pool, interrupt_checker& interrupts) {
    pool_ = &pool;
    interrupts_ = &interrupts;
  }
  void stream(const float* x, std::size_t tokens, std::size_t width) override {
    watched_source::stream(x, tokens, width);
    ++additions_;
    width_ = width;
  }
  void clear() {
    forget_inputs();
    known_.reset();
    additions_ = 0;
  }

 protected:
  std::unique_ptr<row_reader> open_matrix(const std::string& name, row_range rows, const matrix_input& input) override {
    if (!rounder_.rounds(name)) return from().open(name, rows);
    if (!known_ || known_->group != input.group) collect(name, rows, input);
    std::vector<float> weights(rows.count * input.columns);
    const std::unique_ptr<row_reader> reader = from().open(name, rows);
    for (std::size_t row = 0; row < rows.count; ++row) {
      std::copy_n(reader->next(1), input.columns, weights.data() + row * input.columns);
    }
    correct(name, rows, input, weights);
    rounder_.round(name, rows, *known_->hessian, weights);
    return std::make_unique<memory_reader>(std::move(weights), input.columns);
  }

 private:
  // What all matrices of a group share.
  struct group_statistics {
    std::size_t group = 0;
    std::unique_ptr<input_hessian> hessian;
    double scale = 0.0;       // of the Hessian, which has a mean diagonal of 1
    float_matrix difference;  // sum of (x - x_q) x_qᵀ; empty if nothing is corrected
    correction_shares shares;
  };

  void collect(const std::string& name, row_range rows, const matrix_input& input) {
    known_.reset();
    group_statistics found;
    found.group = input.group;
    const std::size_t n = input.columns;
    const std::vector<double> gram = gram_of(input.x, n, input.tokens, *pool_, *interrupts_);
    found.hessian = std::make_unique<input_hessian>(
        n, [&](std::size_t row, double* out) { std::copy_n(&gram[row * n + row], n - row, out); }, options_.damping,
        *pool_, *interrupts_);
    double trace = 0.0;
    for (std::size_t i = 0; i < n; ++i) trace += gram[i * n + i];
    found.scale = trace / static_cast<double>(n) * (1.0 + found.hessian->damping());
    const bool is_slice = rows.count != find(name)->rows;
    const recorder::input_record* exact = is_slice ? nullptr : original_.input_of(name);
    if (exact != nullptr && found.scale > 0.0) {
      found.shares = options_.fixed_shares ? options_.shares : supported_correction(input.tokens, n);
    } else {
      found.shares = {0.0, 0.0};
    }
    if (found.shares.input > 0.0) {
      found.difference = cross_gram(exact->x.data(), input.x, n, input.x, n, input.tokens, *pool_, *interrupts_);
    }
    known_ = std::move(found);
  }

  void correct(const std::string& name, row_range rows, const matrix_input& input, std::vector<float>& weights) const {
    const correction_shares shares = known_->shares;
    const bool adds = shares.stream > 0.0 && writes_residual(parse_tensor_name(name).role) && rows.count == width_;
    if (shares.input <= 0.0 && !adds) return;
    float_matrix change{rows.count, input.columns, std::vector<float>(weights.size(), 0.0F)};
    if (shares.input > 0.0) {
      add_product(weights.data(), rows.count, known_->difference, static_cast<float>(shares.input),
                  change.values.data(), *pool_, *interrupts_);
    }
    if (adds) {
      const std::vector<float>& exact = original_.stream_before(additions_ - 1);
      const float_matrix streams =
          cross_gram(exact.data(), stream_now(), width_, input.x, input.columns, input.tokens, *pool_, *interrupts_);
      const auto share = static_cast<float>(shares.stream);
      for (std::size_t i = 0; i < change.values.size(); ++i) change.values[i] += share * streams.values[i];
    }
    solve_against(*known_->hessian, change, *pool_, *interrupts_);
    const auto scale = static_cast<float>(1.0 / known_->scale);
    for (std::size_t i = 0; i < weights.size(); ++i) weights[i] += scale * change.values[i];
  }

  const recorder& original_;
  matrix_rounder& rounder_;
  sequential_options options_;
  thread_pool* pool_ = nullptr;
  interrupt_checker* interrupts_ = nullptr;
  std::optional<group_statistics> known_;
  std::size_t additions_ = 0;  // streams seen in this block, from 1
  std::size_t width_ = 0;
};

}  // namespace
}  // namespace sequential_detail

using sequential_detail::recorder;
using sequential_detail::rounding_source;

class sequential_quantizer::implementation {
 public:
  implementation(const hyperparameters& config, tensor_source& original, matrix_rounder& rounder,
                 const sequential_options& options, unsigned threads, std::uint64_t panel_bytes,
                 interrupt_checker& interrupts)
      : record(original),
        rounding(original, record, rounder, options),
        exact(config, record, threads, panel_bytes, interrupts),
        rounded(config, rounding, threads, panel_bytes, interrupts) {
    exact.observe(&record);
    rounded.observe(&rounding);
    rounding.use(rounded.threads(), rounded.interrupts());
  }

  recorder record;
  rounding_source rounding;
  transformer exact, rounded;
};

sequential_quantizer::sequential_quantizer(const hyperparameters& config, tensor_source& original,
                                           matrix_rounder& rounder, const sequential_options& options, unsigned threads,
                                           std::uint64_t panel_bytes, interrupt_checker& interrupts)
    : implementation_(
          std::make_unique<implementation>(config, original, rounder, options, threads, panel_bytes, interrupts)) {}

sequential_quantizer::~sequential_quantizer() = default;

void sequential_quantizer::run_block(span<const token_sequence> sequences, std::uint32_t block,
                                     std::vector<float>& stream, std::vector<float>& rounded_stream) {
  std::size_t numbers = 0;
  for (const token_sequence& s : sequences) numbers += s.tokens.size() * implementation_->exact.config().width;
  if (stream.size() != numbers || rounded_stream.size() != numbers) {
    throw error(sqlstate::invalid_parameter_value, "the residual streams are not those of the tokens");
  }
  implementation_->record.clear();
  implementation_->rounding.clear();
  implementation_->exact.run_block(block, sequences, stream.data());
  implementation_->rounded.run_block(block, sequences, rounded_stream.data());
  implementation_->record.clear();
}

std::uint64_t sequential_quantizer::run_bytes(std::uint64_t tokens, std::uint64_t longest) const noexcept {
  const hyperparameters& config = implementation_->exact.config();
  const std::uint64_t width = config.width, q = config.query_width(), inner = config.inner_width();
  // Inputs of the four groups, and the stream before the block, between its halves, and after it.
  const std::uint64_t record = sizeof(float) * tokens * (2 * width + q + inner + 3 * width);
  const std::uint64_t widest = std::max({width, q, inner});
  const std::uint64_t sums = widest * widest * (sizeof(double) + sizeof(float)) * 2;
  const std::uint64_t matrices = 3 * sizeof(float) * widest * std::max({width, q, inner});
  return record + sums + matrices + input_hessian::work_bytes(widest) +
         implementation_->exact.run_bytes(tokens, longest);
}

correction_shares supported_correction(std::uint64_t tokens, std::size_t columns) noexcept {
  if (tokens >= 50 * std::uint64_t{columns}) return {1.0, 1.0};
  if (tokens >= 10 * std::uint64_t{columns}) return {0.5, 0.0};
  return {0.0, 0.0};
}

}  // namespace hartonomous
