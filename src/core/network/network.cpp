// The whole network: the tensors it needs, the embedding, and its blocks one after the other (hartonomous/network.hpp).
#include "hartonomous/error.hpp"
#include "hartonomous/network.hpp"
#include "network/architecture.hpp"
#include "network/batch.hpp"
#include "network/block_pass.hpp"
#include "network/compute_context.hpp"
#include "network/vectors.hpp"

#include <algorithm>
#include <numeric>
#include <set>

namespace hartonomous {
namespace {

using network_detail::batch;
using network_detail::block_pass;
using network_detail::block_tensor;

[[noreturn]] void broken(const std::string& message, const std::string& detail = {},
                         source_location thrown = source_location::current()) {
  throw error(sqlstate::object_not_in_prerequisite_state, message, detail, {}, thrown);
}

std::string described(const matrix_shape& s) { return std::to_string(s.rows) + " x " + std::to_string(s.columns); }

void check_shape(const tensor_source& source, const expected_tensor& expected) {
  const std::optional<matrix_shape> found = source.find(expected.name);
  if (!found) {
    if (expected.required) broken("the model has no tensor \"" + expected.name + "\"");
    return;
  }
  if (found->rows != expected.rows() || found->columns != expected.columns()) {
    broken("tensor \"" + expected.name + "\" has the wrong shape",
           "It is " + described(*found) + "; the model's hyperparameters ask for " +
               described({expected.rows(), expected.columns()}) + ".");
  }
}

// All tensors that a model with this vocabulary may have.
std::vector<expected_tensor> tensors_of(const hyperparameters& config, std::uint64_t vocabulary) {
  std::vector<expected_tensor> all = {{"token_embd.weight", {vocabulary, config.width}, true},
                                      {"output_norm.weight", {config.width}, true},
                                      {"output.weight", {vocabulary, config.width}, false},
                                      {"output.bias", {vocabulary}, false}};
  if (config.architecture->parts.norm == norm_kind::layer) all.push_back({"output_norm.bias", {config.width}, true});
  if (config.architecture->parts.learned_positions) {
    all.push_back({"position_embd.weight", {config.context, config.width}, true});
  } else if (config.long_factors) {
    for (const char* name : {"rope_factors_long.weight", "rope_factors_short.weight"}) {
      all.push_back({name, {config.rope.dimensions / 2}, false});
    }
  } else {
    all.push_back({"rope_freqs.weight", {config.rope.dimensions / 2}, false});
  }
  const std::vector<expected_tensor> of_block = config.architecture->block_tensors(config);
  for (std::uint32_t block = 0; block < config.blocks; ++block) {
    for (const expected_tensor& t : of_block) {
      all.push_back({block_tensor(block, t.name), t.shape, t.required});
    }
  }
  return all;
}

}  // namespace

transformer::transformer(const hyperparameters& config, tensor_source& source, unsigned threads,
                         std::uint64_t panel_bytes, interrupt_checker& interrupts)
    : config_(config),
      compute_(std::make_unique<network_detail::compute_context>(source, threads, panel_bytes, interrupts)) {
  check_tensors();
  read_rope_factors();
}

transformer::~transformer() = default;

thread_pool& transformer::threads() noexcept { return compute_->threads(); }
interrupt_checker& transformer::interrupts() noexcept { return compute_->interrupts(); }
void transformer::observe(linear_observer* observer) noexcept { compute_->observe(observer); }
void transformer::watch(std::function<void(double)> watcher) { compute_->watch(std::move(watcher)); }
std::size_t transformer::panel_rows(std::uint64_t columns) const noexcept { return compute_->panel_rows(columns); }

void transformer::check_tensors() {
  const tensor_source& source = compute_->source();
  const std::optional<matrix_shape> embedding = source.find("token_embd.weight");
  if (!embedding) broken("the model has no tensor \"token_embd.weight\"");
  if (embedding->rows == 0) broken("tensor \"token_embd.weight\" has no rows");
  if (embedding->rows > INT32_MAX) broken("tensor \"token_embd.weight\" has too many rows");
  vocabulary_ = static_cast<std::uint32_t>(embedding->rows);
  output_ = source.find("output.weight") ? "output.weight" : "token_embd.weight";
  std::set<std::string> known;
  for (const expected_tensor& expected : tensors_of(config_, vocabulary_)) {
    check_shape(source, expected);
    known.insert(expected.name);
  }
  // A tensor that the architecture does not use must not be ignored silently: the results would be those of another
  // model.
  for (const std::string& name : source.names()) {
    if (known.count(name) == 0) {
      throw error(sqlstate::feature_not_supported,
                  "tensor \"" + name + "\" has no place in a model of architecture " + config_.architecture->name);
    }
  }
}

void transformer::read_rope_factors() {
  const auto read = [&](const std::string& tensor) {
    if (!compute_->source().find(tensor)) return std::vector<float>();
    std::vector<float> factors = compute_->vector_of(tensor);
    if (std::any_of(factors.begin(), factors.end(), [](float f) { return !(f > 0.0f); })) {
      broken("tensor \"" + tensor + "\" has a factor that is not positive");
    }
    return factors;
  };
  rope_factors_ = std::make_unique<network_detail::rope_factors>();
  rope_factors_->usual = read(config_.long_factors ? "rope_factors_short.weight" : "rope_freqs.weight");
  if (config_.long_factors) rope_factors_->longer = read("rope_factors_long.weight");
}

std::uint64_t transformer::run_bytes(std::uint64_t tokens, std::uint64_t longest) const noexcept {
  const std::uint64_t scores = sizeof(float) * compute_->threads().threads() * 64 * longest;
  return batch::bytes(config_, tokens, longest) + scores + compute_->panel_bytes();
}

double transformer::multiplications(std::uint64_t tokens, std::uint64_t states) const {
  double of_block = 0.0;
  for (const expected_tensor& t : config_.architecture->block_tensors(config_)) {
    if (!t.is_matrix()) continue;
    const double used = t.shape.size() == 3 ? static_cast<double>(config_.experts_used) / config_.experts : 1.0;
    of_block += used * static_cast<double>(t.rows()) * static_cast<double>(t.columns());
  }
  return static_cast<double>(tokens) * static_cast<double>(config_.blocks) * of_block +
         static_cast<double>(states) * static_cast<double>(vocabulary_) * static_cast<double>(config_.width);
}

void transformer::check_sequences(span<const token_sequence> sequences) const {
  for (const token_sequence& s : sequences) {
    const std::uint64_t past = s.cache != nullptr ? s.cache->length() : 0;
    // Of an embedding of positions there are no more rows.
    const std::uint64_t most = config_.architecture->parts.learned_positions ? config_.context : UINT32_MAX;
    const std::uint64_t room =
        s.cache != nullptr ? std::min<std::uint64_t>(s.cache->capacity(), most) : config_.context;
    if (past + s.tokens.size() > room) {
      throw error(sqlstate::invalid_parameter_value,
                  std::to_string(past + s.tokens.size()) + " tokens do not fit a context of " + std::to_string(room));
    }
  }
}

void transformer::check_tokens(span<const token_id> tokens) const {
  for (token_id token : tokens) {
    if (token < 0 || static_cast<std::uint32_t>(token) >= vocabulary_) {
      throw error(sqlstate::invalid_parameter_value,
                  "token " + std::to_string(token) + " is not one of the model's " + std::to_string(vocabulary_));
    }
  }
}

std::vector<float> transformer::run(span<const token_sequence> sequences) {
  check_sequences(sequences);
  batch b(config_, sequences, *rope_factors_);
  if (b.tokens.empty()) return {};
  embed(sequences, b.x.data());
  for (std::uint32_t block = 0; block < config_.blocks; ++block) run_block(block, b);
  for (const token_sequence& s : sequences) {
    if (s.cache != nullptr) s.cache->advance(static_cast<std::uint32_t>(s.tokens.size()));
  }
  return std::move(b.x);
}

void transformer::run_block(std::uint32_t block, span<const token_sequence> sequences, float* states) {
  check_sequences(sequences);
  batch b(config_, sequences, *rope_factors_);
  std::copy_n(states, b.x.size(), b.x.data());
  run_block(block, b);
  std::copy_n(b.x.data(), b.x.size(), states);
}

void transformer::run_block(std::uint32_t block, batch& b) {
  if (compute_->observer() != nullptr) compute_->observer()->stream(b.x.data(), b.size(), config_.width);
  block_pass pass(config_, block, *compute_, b);
  config_.architecture->run_block(pass);
}

void transformer::embed(span<const token_sequence> sequences, float* states) {
  std::vector<std::uint32_t> tokens, positions;
  for (const token_sequence& s : sequences) {
    check_tokens(s.tokens);
    tokens.insert(tokens.end(), s.tokens.begin(), s.tokens.end());
    positions.resize(tokens.size());
    std::iota(positions.end() - static_cast<std::ptrdiff_t>(s.tokens.size()), positions.end(),
              s.cache != nullptr ? s.cache->length() : 0);
  }
  look_up("token_embd.weight", tokens, false, states);
  if (config_.embedding_scale != 1.0f) {
    network_detail::scale(states, tokens.size() * config_.width, config_.embedding_scale);
  }
  if (config_.architecture->parts.learned_positions) look_up("position_embd.weight", positions, true, states);
}

void transformer::look_up(const std::string& tensor, span<const std::uint32_t> numbers, bool add, float* states) {
  const std::size_t width = config_.width;
  std::vector<std::uint32_t> rows(numbers.begin(), numbers.end());
  std::sort(rows.begin(), rows.end());
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  std::vector<float> table(rows.size() * width);
  compute_->source().read_rows(tensor, rows, table.data());
  std::vector<std::size_t> uses(rows.size());
  for (std::size_t t = 0; t < numbers.size(); ++t) {
    const auto found = static_cast<std::size_t>(std::lower_bound(rows.begin(), rows.end(), numbers[t]) - rows.begin());
    if (!add) std::fill_n(states + t * width, width, 0.0f);
    network_detail::add(states + t * width, table.data() + found * width, width);
    ++uses[found];
  }
  for (std::size_t i = 0; compute_->observer() != nullptr && i < rows.size(); ++i) {
    compute_->observer()->lookups(tensor, rows[i], uses[i], table.data() + i * width, width);
  }
}

std::vector<float> transformer::normed(const std::vector<float>& states, span<const std::size_t> rows) {
  const std::size_t width = config_.width;
  std::vector<float> out(rows.size() * width);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::copy_n(states.begin() + static_cast<std::ptrdiff_t>(rows[i] * width), width,
                out.begin() + static_cast<std::ptrdiff_t>(i * width));
  }
  compute_->normalize("output_norm", config_, out.data(), rows.size(), out.data());
  return out;
}

}  // namespace hartonomous
