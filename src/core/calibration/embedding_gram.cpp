// Summing the matrices that read the residual stream (hartonomous/embedding_gram.hpp).
#include "hartonomous/embedding_gram.hpp"

#include "hartonomous/error.hpp"
#include "hartonomous/tensor_name.hpp"
#include "linear_algebra/steps.hpp"
#include "linear_algebra/token_sums.hpp"
#include "network/architecture.hpp"
#include "network/block_pass.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <string>

namespace hartonomous {
namespace {

// A matrix that reads the stream, and the norm before it.
struct stream_reader {
  std::string matrix, norm;  // empty: none
  std::uint64_t rows = 0;
};

std::vector<stream_reader> stream_readers(const tensor_source& source, const hyperparameters& config) {
  std::vector<stream_reader> readers;
  const block_parts& parts = config.architecture->parts;
  const std::vector<expected_tensor> of_block = config.architecture->block_tensors(config);
  for (std::uint32_t block = 0; block < config.blocks; ++block) {
    std::string norm;
    for (const expected_tensor& t : of_block) {
      const std::string name = network_detail::block_tensor(block, t.name);
      // Norms of heads are not as wide as the stream, or of what no longer is the stream.
      const bool before = t.name == "attn_norm.weight" || t.name == std::string(parts.feed_forward_norm) + ".weight";
      if (parts.norms_before && before) norm = name;
      if (!t.is_matrix() || writes_residual(parse_tensor_name(name).role)) continue;
      readers.push_back({name, norm, t.rows()});
    }
  }
  const std::string output = source.find("output.weight") ? "output.weight" : "token_embd.weight";
  const std::optional<matrix_shape> shape = source.find(output);
  readers.push_back({output, "output_norm.weight", shape ? shape->rows : 0});
  return readers;
}

std::unique_ptr<row_reader> open(tensor_source& source, const std::string& name, matrix_shape wanted) {
  const std::optional<matrix_shape> found = source.find(name);
  if (found && found->rows == wanted.rows && found->columns == wanted.columns) {
    return source.open(name, {0, wanted.rows});
  }
  throw error(sqlstate::object_not_in_prerequisite_state,
              found ? "tensor \"" + name + "\" has the wrong shape" : "the model has no tensor \"" + name + "\"");
}

class stream_gram {
 public:
  stream_gram(std::size_t width, bool centered, thread_pool& pool, interrupt_checker& interrupts)
      : width_(width), centered_(centered), pool_(pool), interrupts_(interrupts), panel_(token_sums::run * width) {
    grow(sums_, width * (width + 1) / 2, interrupts);
  }

  void add(tensor_source& source, const stream_reader& reader, const std::function<void(std::uint64_t)>& read) {
    std::vector<float> scale(width_, 1.0F);
    if (!reader.norm.empty()) std::copy_n(open(source, reader.norm, {1, width_})->next(1), width_, scale.begin());
    token_sums products({0, width_}, width_, sum_shape::upper_triangle, interrupts_);
    const std::unique_ptr<row_reader> rows = open(source, reader.matrix, {reader.rows, width_});
    for (std::uint64_t row = 0; row < reader.rows;) {
      const std::size_t count = std::min<std::uint64_t>(token_sums::run, reader.rows - row);
      const float* const from = rows->next(count);
      for (std::size_t i = 0; i < count * width_; ++i) panel_[i] = from[i] * scale[i % width_];
      // LayerNorm takes the mean away, and with it what all numbers of the stream have in common.
      for (float* panel = panel_.data(); centered_ && panel < panel_.data() + count * width_; panel += width_) {
        const float mean = std::accumulate(panel, panel + width_, 0.0F) / static_cast<float>(width_);
        std::transform(panel, panel + width_, panel, [mean](float v) { return v - mean; });
      }
      pool_.run(products.tiles(), interrupts_,
                [&](std::size_t tile) { products.add(tile, panel_.data(), width_, panel_.data(), count); });
      row += count;
      read(count);
    }
    add(products, reader.matrix);
  }

  std::vector<float> upper() const { return {sums_.begin(), sums_.end()}; }

 private:
  void add(const token_sums& products, const std::string& matrix) {
    double trace = 0.0;
    for (std::size_t i = 0; i < width_; ++i) trace += products.row(i)[0];
    if (!std::isfinite(trace)) {
      throw error(sqlstate::object_not_in_prerequisite_state,
                  "tensor \"" + matrix + "\" or the norm before it has a weight that is not finite");
    }
    if (trace <= 0.0) return;
    const double factor = static_cast<double>(width_) / trace;
    double* to = sums_.data();
    for (std::size_t i = 0; i < width_; ++i) {
      const double* const from = products.row(i);
      to = std::transform(from, from + (width_ - i), to, to, [&](double a, double b) { return b + factor * a; });
    }
  }

  std::size_t width_;
  bool centered_;
  thread_pool& pool_;
  interrupt_checker& interrupts_;
  std::vector<float> panel_;
  std::vector<double> sums_;
};

}  // namespace

std::vector<float> embedding_gram(tensor_source& source, const hyperparameters& config,
                                  const std::function<void(double)>& watcher, thread_pool& pool,
                                  interrupt_checker& interrupts) {
  const std::vector<stream_reader> readers = stream_readers(source, config);
  std::uint64_t all = 0, done = 0;
  for (const stream_reader& reader : readers) all += reader.rows;
  stream_gram gram(config.width, config.architecture->parts.norm == norm_kind::layer, pool, interrupts);
  for (const stream_reader& reader : readers) {
    gram.add(source, reader, [&](std::uint64_t rows) {
      done += rows;
      if (watcher) watcher(static_cast<double>(done) / static_cast<double>(all));
    });
  }
  return gram.upper();
}

std::uint64_t embedding_gram_bytes(std::size_t width) noexcept {
  const std::uint64_t triangle = std::uint64_t{width} * (width + 1) / 2;
  return token_sums::numbers({0, width}, width, sum_shape::upper_triangle) * sizeof(double) +
         triangle * (sizeof(double) + sizeof(float)) + 2 * token_sums::run * std::uint64_t{width} * sizeof(float);
}

}  // namespace hartonomous
