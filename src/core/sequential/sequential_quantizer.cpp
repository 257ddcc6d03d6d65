// Two networks side by side, one of which is rounded as it runs (hartonomous/sequential_quantizer.hpp).
#include "hartonomous/sequential_quantizer.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include "hartonomous/error.hpp"
#include "hartonomous/tensor_name.hpp"
#include "linear_algebra/steps.hpp"
#include "network/architecture.hpp"
#include "sequential/correction.hpp"
#include "sequential/watched_source.hpp"

namespace hartonomous {
namespace sequential_detail {
namespace {

// Of the output matrix, rounded at a time.
constexpr std::size_t output_panel_weights = std::size_t{1} << 24;

// Keeps the inputs of a block's matrices, and the streams to which their outputs are added.
class recorder final : public watched_source {
 public:
  recorder(tensor_source& from, interrupt_checker& interrupts) : watched_source(from), interrupts_(interrupts) {}

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
    streams_.push_back(copy_of(x, tokens * width, interrupts_));
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
      if (record.columns == 0) {
        record = {copy_of(input.x, input.tokens * input.columns, interrupts_), input.columns};
      }
    }
    return from().open(name, rows);
  }

 private:
  interrupt_checker& interrupts_;
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
  // `adds_outputs`: whether outputs of matrices are added to the stream as they are.
  rounding_source(tensor_source& from, const recorder& original, matrix_rounder& rounder,
                  const sequential_options& options, bool adds_outputs)
      : watched_source(from), original_(original), rounder_(rounder), options_(options), adds_outputs_(adds_outputs) {}

  // Rounds the output matrix for the inputs x, which are `exact` in the original network, some rows at a time.
  void round_output(const std::string& name, const std::vector<float>& x, const std::vector<float>& exact,
                    const std::function<void(double)>& watcher) {
    const matrix_shape shape = *find(name);
    const input_correction correction(name, x.data(), exact.data(), shape.columns, x.size() / shape.columns, options_,
                                      *pool_, *interrupts_);
    // Always the same number, whatever the memory, because products of other sizes may be rounded differently.
    const std::size_t panel = std::max<std::size_t>(1, output_panel_weights / shape.columns);
    for (std::size_t first = 0; first < shape.rows; first += panel) {
      const row_range rows = {first, std::min<std::size_t>(panel, shape.rows - first)};
      std::vector<float> weights = read_weights(name, rows, shape.columns);
      correction.apply(weights, nullptr, *pool_, *interrupts_);
      rounder_.round(name, rows, correction.hessian(), weights);
      if (watcher) watcher(static_cast<double>(first + rows.count) / static_cast<double>(shape.rows));
    }
  }

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
    if (!known_ || group_ != input.group) collect(name, rows, input);
    std::vector<float> weights = read_weights(name, rows, input.columns);
    correct(name, rows, input, weights);
    rounder_.round(name, rows, known_->hessian(), weights);
    return std::make_unique<memory_reader>(std::move(weights), input.columns);
  }

 private:
  std::vector<float> read_weights(const std::string& name, row_range rows, std::size_t columns) {
    std::vector<float> weights;
    grow(weights, rows.count * columns, *interrupts_);
    const std::unique_ptr<row_reader> reader = from().open(name, rows);
    for (std::size_t row = 0; row < rows.count; ++row) {
      float* const to = weights.data() + row * columns;
      std::copy_n(reader->next(1), columns, to);
      // Checked here, because the correction would spread them over the row.
      const float* const bad = std::find_if_not(to, to + columns, [](float w) { return std::isfinite(w); });
      if (bad == to + columns) continue;
      throw error(sqlstate::numeric_value_out_of_range, "weight in row " + std::to_string(rows.first + row + 1) +
                                                            ", column " + std::to_string(bad - to + 1) +
                                                            " of tensor \"" + name + "\" is not finite");
    }
    return weights;
  }

  void collect(const std::string& name, row_range rows, const matrix_input& input) {
    known_.reset();
    const bool is_slice = rows.count != find(name)->rows;
    const recorder::input_record* exact = is_slice ? nullptr : original_.input_of(name);
    known_.emplace(name, input.x, exact == nullptr ? nullptr : exact->x.data(), input.columns, input.tokens, options_,
                   *pool_, *interrupts_);
    group_ = input.group;
  }

  void correct(const std::string& name, row_range rows, const matrix_input& input, std::vector<float>& weights) const {
    std::optional<float_matrix> streams;
    if (adds_outputs_ && known_->shares().stream > 0.0 && writes_residual(parse_tensor_name(name).role) &&
        rows.count == width_) {
      const std::vector<float>& exact = original_.stream_before(additions_ - 1);
      streams = floats_of(
          cross_sums(exact.data(), stream_now(), width_, input.x, input.columns, input.tokens, *pool_, *interrupts_),
          width_, input.columns, *interrupts_);
    }
    known_->apply(weights, streams ? &*streams : nullptr, *pool_, *interrupts_);
  }

  const recorder& original_;
  matrix_rounder& rounder_;
  sequential_options options_;
  bool adds_outputs_;
  thread_pool* pool_ = nullptr;
  interrupt_checker* interrupts_ = nullptr;
  std::optional<input_correction> known_;  // of the matrices of this group
  std::size_t group_ = 0;
  std::size_t additions_ = 0;  // streams seen in this block, from 1
  std::size_t width_ = 0;
};

}  // namespace
}  // namespace sequential_detail

using sequential_detail::recorder;
using sequential_detail::rounding_source;

class sequential_quantizer::implementation {
 public:
  implementation(const hyperparameters& config, tensor_source& original, matrix_rounder& with,
                 const sequential_options& options, unsigned threads, std::uint64_t panel_bytes,
                 interrupt_checker& interrupts)
      : rounder(with),
        record(original, interrupts),
        rounding(original, record, with, options,
                 !config.architecture->parts.norms_after && config.residual_scale == 1.0F),
        exact(config, record, threads, panel_bytes, interrupts),
        rounded(config, rounding, threads, panel_bytes, interrupts) {
    exact.observe(&record);
    rounded.observe(&rounding);
    rounding.use(rounded.threads(), rounded.interrupts());
  }

  // Begins a call in which so many multiplications with weights will be done.
  void begin_watching(double multiplications) {
    all = multiplications;
    done = 0.0;
    const auto count = [this](double more) {
      done += more;
      if (watcher) watcher(std::min(1.0, done / all));
    };
    exact.watch(count);
    rounded.watch(count);
  }

  std::function<void(double)> watcher;
  double all = 0.0, done = 0.0;
  matrix_rounder& rounder;
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
  std::size_t tokens = 0;
  for (const token_sequence& s : sequences) tokens += s.tokens.size();
  const std::size_t numbers = tokens * implementation_->exact.config().width;
  if (stream.size() != numbers || rounded_stream.size() != numbers) {
    throw error(sqlstate::invalid_parameter_value, "the residual streams are not those of the tokens");
  }
  implementation_->record.clear();
  implementation_->rounding.clear();
  implementation_->begin_watching(2.0 * implementation_->exact.multiplications(tokens, 0) /
                                  implementation_->exact.config().blocks);
  implementation_->exact.run_block(block, sequences, stream.data());
  implementation_->rounded.run_block(block, sequences, rounded_stream.data());
  implementation_->record.clear();
}

void sequential_quantizer::round_output(const std::vector<float>& stream, const std::vector<float>& rounded_stream) {
  transformer &exact = implementation_->exact, &rounded = implementation_->rounded;
  if (stream.size() % exact.config().width != 0 || stream.size() != rounded_stream.size()) {
    throw error(sqlstate::invalid_parameter_value, "the residual streams are not those of the same tokens");
  }
  if (stream.empty() || !implementation_->rounder.rounds(exact.output_matrix())) return;
  std::vector<std::size_t> all(stream.size() / exact.config().width);
  std::iota(all.begin(), all.end(), std::size_t{0});
  implementation_->rounding.round_output(exact.output_matrix(), rounded.normed(rounded_stream, all),
                                         exact.normed(stream, all), implementation_->watcher);
}

void sequential_quantizer::watch(std::function<void(double)> watcher) { implementation_->watcher = std::move(watcher); }

std::uint64_t sequential_quantizer::run_bytes(std::uint64_t tokens, std::uint64_t longest) const noexcept {
  const hyperparameters& config = implementation_->exact.config();
  const std::uint64_t width = config.width, q = config.query_width(), inner = config.inner_width();
  // Inputs of the four groups, and the stream before the block, between its halves, and after it.
  const std::uint64_t record = sizeof(float) * tokens * (2 * width + q + inner + 3 * width);
  const std::uint64_t widest = std::max({width, q, inner});
  const std::uint64_t sums = widest * widest * (sizeof(double) + sizeof(float)) * 2;
  const std::uint64_t output =
      std::min<std::uint64_t>(sequential_detail::output_panel_weights, width * implementation_->exact.vocabulary());
  const std::uint64_t matrices = 3 * sizeof(float) * std::max(widest * widest, output);
  return record + sums + matrices + input_hessian::work_bytes(widest) +
         implementation_->exact.run_bytes(tokens, longest);
}

correction_shares supported_correction(std::uint64_t tokens, std::size_t columns) noexcept {
  if (tokens >= 50 * std::uint64_t{columns}) return {1.0, 1.0};
  if (tokens >= 10 * std::uint64_t{columns}) return {0.5, 0.0};
  return {0.0, 0.0};
}

}  // namespace hartonomous
