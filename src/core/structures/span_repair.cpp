// Two streams side by side, that of the whole network and that of the one with gaps (hartonomous/span_repair.hpp).
#include "hartonomous/span_repair.hpp"

#include "hartonomous/error.hpp"
#include "linear_algebra/sgemm.hpp"
#include "linear_algebra/token_sums.hpp"
#include "network/activations.hpp"
#include "network/architecture.hpp"
#include "structures/ridge.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

namespace hartonomous {
namespace {

using Eigen::Index;
using structures_detail::matrix_element;

constexpr std::size_t group_tokens = 2048;  // run together, whatever the memory, as in calibration
constexpr std::size_t panel_tokens = 256;   // multiplied together

// Keeps the stream before what was added last.
class stream_recorder final : public linear_observer {
 public:
  void input(const std::string&, row_range, const float*, std::size_t, std::size_t) override {}
  void rows(const std::string&, std::size_t, std::size_t, const float*, std::size_t) override {}
  void lookups(const std::string&, std::size_t, std::size_t, const float*, std::size_t) override {}
  void stream(const float* x, std::size_t tokens, std::size_t width) override {
    std::swap(before_, now_);
    now_.assign(x, x + tokens * width);
  }
  const std::vector<float>& before() const noexcept { return before_; }

 private:
  std::vector<float> before_, now_;
};

class observed {
 public:
  observed(transformer& network, linear_observer& observer) : network_(network) { network_.observe(&observer); }
  observed(const observed&) = delete;
  observed& operator=(const observed&) = delete;
  ~observed() { network_.observe(nullptr); }

 private:
  transformer& network_;
};

void check(const transformer& network, const repair_text& text, span<const std::int32_t> kept, std::uint32_t before,
           double damping) {
  const auto refuse = [](const std::string& what, source_location thrown = source_location::current()) {
    throw error(sqlstate::invalid_parameter_value, what, {}, {}, thrown);
  };
  if (!(std::isfinite(damping) && damping > 0.0)) refuse("damping must be a number above 0");
  const std::vector<std::string_view> fixed = fixed_structures(network.config());
  if (std::find(fixed.begin(), fixed.end(), "repair") != fixed.end()) {
    throw error(
        sqlstate::feature_not_supported,
        std::string("blocks of a model of architecture ") + network.config().architecture->name + " cannot be repaired",
        {}, "Pass repair => false.");
  }
  if (text.n_ctx == 0) refuse("n_ctx must be at least 1, not 0");
  const auto blocks = static_cast<std::int32_t>(network.config().blocks);
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (kept[i] < 0 || kept[i] >= blocks) refuse("there is no block " + std::to_string(kept[i]));
    if (i > 0 && kept[i] <= kept[i - 1]) refuse("the numbers of blocks are not ascending");
  }
  const auto is_kept = [&](std::int64_t block) { return std::binary_search(kept.begin(), kept.end(), block); };
  if (!is_kept(before) || before + 1 >= network.config().blocks || is_kept(std::int64_t{before} + 1)) {
    refuse("no block is left out behind block " + std::to_string(before));
  }
  if (text.tokens.size() < network.config().width) {
    throw error(sqlstate::invalid_parameter_value, "the text is too short to repair a block by it",
                "It has " + std::to_string(text.tokens.size()) + " tokens; the residual stream has " +
                    std::to_string(network.config().width) + " numbers.",
                "Take a longer text: ten tokens a number are a good beginning. repair => false does without.");
  }
}

double norm(const std::vector<float>& x, const float* minus, interrupt_checker& interrupts) {
  constexpr std::size_t between_checks = std::size_t{1} << 20;
  double sum = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (i % between_checks == 0) interrupts.check();
    const double d = double{x[i]} - (minus != nullptr ? double{minus[i]} : 0.0);
    sum += d * d;
  }
  return std::sqrt(sum);
}

class repairer {
 public:
  repairer(transformer& network, tensor_source& tensors, const repair_text& text, double damping)
      : network_(network),
        tensors_(tensors),
        damping_(damping),
        n_ctx_(text.n_ctx),
        width_(network.config().width),
        tokens_(text.tokens.begin(), text.tokens.end()) {
    for (std::size_t at = 0; text.begin && at < tokens_.size(); at += n_ctx_) tokens_[at] = *text.begin;
  }

  void plan_memory(std::uint64_t memory) const {
    const std::uint64_t states = 3 * std::uint64_t{tokens_.size()} * width_ * sizeof(float);
    const std::uint64_t group = std::min(tokens_.size(), std::max<std::size_t>(group_tokens, n_ctx_));
    const std::uint64_t square = std::uint64_t{width_} * width_;
    // The Gram matrix, its copy that is factored, the products with the difference in double and float, and the result.
    const std::uint64_t sums =
        square * (3 * sizeof(double) + 2 * sizeof(float)) + structures_detail::solve_bytes(width_);
    const std::uint64_t recorded = 3 * group * width_ * sizeof(float);
    const std::uint64_t needed = states + std::max(sums, network_.run_bytes(group, n_ctx_) + recorded);
    if (needed <= memory) return;
    throw error(sqlstate::out_of_memory,
                "repairing by " + std::to_string(tokens_.size()) + " tokens needs too much memory",
                "It needs " + std::to_string(needed) + " bytes; the limit is " + std::to_string(memory) + " bytes.",
                "Raise hartonomous.max_work_memory for this session, or take a shorter text.");
  }

  span_repair run(span<const std::int32_t> kept, std::uint32_t before) {
    const auto is_kept = [&](std::uint32_t block) {
      return std::binary_search(kept.begin(), kept.end(), static_cast<std::int32_t>(block));
    };
    whole_.resize(tokens_.size() * width_);
    for_groups([&](std::size_t first, std::size_t count) {
      network_.embed(windows(first, count), whole_.data() + first * width_);
    });
    std::optional<std::uint32_t> last;  // the last kept block so far
    for (std::uint32_t block = 0; block < network_.config().blocks; ++block) {
      // The streams are the same until the first block is left out.
      const bool begins_gap = is_kept(block) && block + 1 < network_.config().blocks && !is_kept(block + 1);
      if (part_.empty() && (begins_gap || !is_kept(block))) part_ = whole_;
      if (is_kept(block)) {
        last = block;
        if (begins_gap) {
          run_recorded(block);
        } else if (!part_.empty()) {
          run_block(block, part_);
        }
      }
      run_block(block, whole_);
      const bool ends_gap = !is_kept(block) && (block + 1 == network_.config().blocks || is_kept(block + 1));
      if (!ends_gap || !last) continue;
      span_repair repair = solve(*last);
      if (*last == before) return repair;
    }
    throw error(sqlstate::internal_error, "no block is left out");
  }

 private:
  template <typename Function>
  void for_groups(const Function& function) {
    const std::size_t size = std::max<std::size_t>(1, group_tokens / n_ctx_) * n_ctx_;
    for (std::size_t first = 0; first < tokens_.size(); first += size) {
      network_.interrupts().check();
      function(first, std::min(size, tokens_.size() - first));
    }
  }

  std::vector<token_sequence> windows(std::size_t first, std::size_t count) const {
    std::vector<token_sequence> all;
    for (std::size_t at = first; at < first + count; at += n_ctx_) {
      all.push_back({{tokens_.data() + at, std::min<std::size_t>(n_ctx_, first + count - at)}, nullptr});
    }
    return all;
  }

  void run_block(std::uint32_t block, std::vector<float>& states) {
    for_groups([&](std::size_t first, std::size_t count) {
      network_.run_block(block, windows(first, count), states.data() + first * width_);
    });
  }

  // Runs a block of the network with gaps, and keeps what its last matrix adds.
  void run_recorded(std::uint32_t block) {
    std::vector<float> bias(width_, 0.0F);
    const std::string name = "blk." + std::to_string(block) + ".ffn_down.bias";
    if (tensors_.find(name)) std::copy_n(tensors_.open(name, {0, 1})->next(1), width_, bias.begin());
    added_.resize(part_.size());
    for_groups([&](std::size_t first, std::size_t count) {
      stream_recorder recorder;
      const observed scope(network_, recorder);
      float* const states = part_.data() + first * width_;
      network_.run_block(block, windows(first, count), states);
      for (std::size_t i = 0; i < count * width_; ++i) {
        added_[first * width_ + i] = states[i] - recorder.before()[i] - bias[i % width_];
      }
    });
  }

  // At the end of a gap: the repair of the block before it, which the stream then contains.
  span_repair solve(std::uint32_t block) {
    span_repair repair;
    const std::string prefix = "blk." + std::to_string(block) + ".";
    repair.matrix = prefix + (tensors_.find(prefix + "ffn_down.weight") ? "ffn_down.weight" : "ffn_down_exps.weight");
    repair.width = width_;
    repair.change.assign(width_ * width_, 0.0F);
    interrupt_checker& interrupts = network_.interrupts();
    const double size = norm(whole_, nullptr, interrupts);
    repair.error_before = size > 0.0 ? norm(whole_, part_.data(), interrupts) / size : 0.0;
    if (!std::isfinite(repair.error_before)) network_detail::refuse_activations("output", repair.matrix);
    fit(repair);
    add_change(repair);
    repair.error_after = size > 0.0 ? norm(whole_, part_.data(), interrupts) / size : 0.0;
    return repair;
  }

  void fit(span_repair& repair) {
    thread_pool& pool = network_.threads();
    interrupt_checker& interrupts = network_.interrupts();
    const std::size_t tokens = tokens_.size();
    const token_sums products =
        cross_sums(whole_.data(), part_.data(), width_, added_.data(), width_, tokens, pool, interrupts);
    const token_sums gram = gram_sums(added_.data(), width_, tokens, pool, interrupts);
    const auto is_finite = [](double v) { return std::isfinite(v); };
    for (std::size_t i = 0; i < width_; ++i) {
      if (!std::all_of(gram.row(i), gram.row(i) + (width_ - i), is_finite) ||
          !std::all_of(products.row(i), products.row(i) + width_, is_finite)) {
        network_detail::refuse_activations("output", repair.matrix);
      }
    }
    double mean = 0.0;
    for (std::size_t i = 0; i < width_; ++i) mean += gram.row(i)[0] / static_cast<double>(width_);
    if (mean <= 0.0) return;  // a block that adds nothing can do nothing for others
    const auto n = static_cast<Index>(width_);
    hessian_detail::square_matrix h = hessian_detail::square_matrix::Zero(n, n);
    for (Index i = 0; i < n; ++i) {
      for (Index j = 0; j <= i; ++j) h(i, j) = gram.row(static_cast<std::size_t>(j))[i - j];
      h(i, i) += damping_ * mean;
    }
    const matrix_element right = [&](std::size_t r, std::size_t k) { return products.row(r)[k]; };
    if (!structures_detail::solve_rows(h, width_, right, repair.change.data(), pool, interrupts)) {
      throw error(sqlstate::numeric_value_out_of_range,
                  "the outputs of tensor \"" + repair.matrix + "\" are too dependent for a repair", {},
                  "Pass a larger damping.");
    }
  }

  // part += change * added, token by token.
  void add_change(const span_repair& repair) {
    network_.threads().run(
        (tokens_.size() + panel_tokens - 1) / panel_tokens, network_.interrupts(), [&](std::size_t p) {
          const std::size_t first = p * panel_tokens, count = std::min(panel_tokens, tokens_.size() - first);
          std::vector<float> term(count * width_);
          multiply_transposed({added_.data() + first * width_, count, width_, width_},
                              {repair.change.data(), width_, width_, width_}, 1.0F, term.data(), width_);
          for (std::size_t i = 0; i < term.size(); ++i) part_[first * width_ + i] += term[i];
        });
  }

  transformer& network_;
  tensor_source& tensors_;
  double damping_;
  std::size_t n_ctx_, width_;
  std::vector<token_id> tokens_;
  // Tokens x width: the streams of the two networks, and what the last kept block has added to the second.
  std::vector<float> whole_, part_, added_;
};

}  // namespace

span_repair repair_span(transformer& network, tensor_source& tensors, const repair_text& text,
                        span<const std::int32_t> kept, std::uint32_t before, double damping, std::uint64_t memory) {
  check(network, text, kept, before, damping);
  repairer work(network, tensors, text, damping);
  work.plan_memory(memory);
  return work.run(kept, before);
}

double repair_multiplications(const transformer& network, std::size_t tokens, span<const std::int32_t> kept,
                              std::uint32_t before) {
  const std::uint32_t blocks = network.config().blocks;
  const auto is_kept = [&](std::uint32_t block) {
    return std::binary_search(kept.begin(), kept.end(), static_cast<std::int32_t>(block));
  };
  std::uint32_t runs = 0;
  bool two_streams = false;
  for (std::uint32_t block = 0; block < blocks && (block <= before || !is_kept(block)); ++block) {
    two_streams = two_streams || !is_kept(block) || (block + 1 < blocks && !is_kept(block + 1));
    runs += two_streams && is_kept(block) ? 2 : 1;
  }
  return network.multiplications(tokens, 0) / blocks * runs;
}

void apply_repair(const span_repair& repair, float* weights, std::size_t columns, thread_pool& pool,
                  interrupt_checker& interrupts) {
  const std::size_t width = repair.width;
  // Columns of a task of some 10 ms.
  const std::size_t run =
      std::clamp<std::size_t>((std::size_t{1} << 27) / std::max<std::size_t>(width * width, 1), 16, 256);
  pool.run((columns + run - 1) / run, interrupts, [&](std::size_t task) {
    const std::size_t first = task * run, count = std::min(run, columns - first);
    std::vector<float> term(width * count);
    multiply({repair.change.data(), width, width, width}, {weights + first, width, count, columns}, term.data(), count);
    for (std::size_t r = 0; r < width; ++r) {
      for (std::size_t c = 0; c < count; ++c) weights[r * columns + first + c] += term[r * count + c];
    }
  });
}

}  // namespace hartonomous
