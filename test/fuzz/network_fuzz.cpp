// libFuzzer: any bytes as a GGUF file whose model is run. Hyperparameters and shapes are anyone's; whatever is accepted
// must run within the memory it says it needs, and give as many logits as asked for.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "hartonomous/error.hpp"
#include "hartonomous/evaluate.hpp"
#include "hartonomous/gguf.hpp"
#include "hartonomous/network.hpp"

namespace {

using namespace hartonomous;

constexpr std::uint64_t most_memory = 16 << 20;
constexpr std::uint64_t most_weights = 1 << 16;

void require(bool condition) {
  if (!condition) std::abort();
}

// Tensors of the file's names and shapes whose weights are all 1/16.
class even_tensors final : public tensor_source {
 public:
  explicit even_tensors(const gguf_file& file) : file_(file) {}
  std::vector<std::string> names() const override {
    std::vector<std::string> names;
    for (const gguf_tensor& t : file_.tensors) names.push_back(t.name);
    return names;
  }
  std::optional<matrix_shape> find(const std::string& name) const override {
    for (const gguf_tensor& t : file_.tensors) {
      if (t.name != name) continue;
      const std::uint64_t columns = t.dims.empty() ? 1 : t.dims.front();
      return matrix_shape{columns > 0 ? t.weights / columns : 0, columns};
    }
    return std::nullopt;
  }
  std::unique_ptr<row_reader> open(const std::string& name, row_range rows) override {
    const matrix_shape shape = *find(name);
    require(rows.first + rows.count <= shape.rows);
    return std::make_unique<reader>(rows.count, shape.columns);
  }
  void read_rows(const std::string& name, span<const std::uint32_t> rows, float* out) override {
    const matrix_shape shape = *find(name);
    for (std::uint32_t row : rows) require(row < shape.rows);
    std::fill_n(out, rows.size() * shape.columns, 0.0625f);
  }

 private:
  class reader final : public row_reader {
   public:
    reader(std::uint64_t rows, std::uint64_t columns) : left_(rows), columns_(columns) {}
    const float* next(std::size_t count) override {
      require(count <= left_);
      left_ -= count;
      panel_.assign(count * columns_, 0.0625f);
      return panel_.data();
    }

   private:
    std::uint64_t left_, columns_;
    std::vector<float> panel_;
  };
  const gguf_file& file_;
};

void run(const gguf_file& file) {
  for (const gguf_tensor& t : file.tensors) {
    if (t.weights > most_weights) return;
  }
  no_interrupts none;
  even_tensors tensors(file);
  const hyperparameters config = read_hyperparameters(file);
  if (config.blocks > 4) return;
  transformer network(config, tensors, 1, 1 << 16, none);
  std::vector<token_id> tokens;
  for (token_id t = 0; t < 16; ++t) tokens.push_back(t % static_cast<token_id>(network.vocabulary()));
  const std::vector<score_window> windows = perplexity_windows(tokens, 8, std::nullopt);
  require(score_windows(network, windows, most_memory).size() == 6);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  memory_source source(bytes, size);
  no_interrupts none;
  try {
    run(read_gguf_header(source, none));
  } catch (const error&) {
  }
  return 0;
}
