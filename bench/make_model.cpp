// Writes a GGUF file of random weights for the benchmarks: make_model PATH FORMAT TENSORS ROWS COLUMNS [SEED].
// With one row the tensors are vectors.
#include <cstdint>
#include <cstdio>
#include <cmath>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "hartonomous/codec.hpp"
#include "hartonomous/error.hpp"
#include "hartonomous/gguf.hpp"

using namespace hartonomous;

namespace {

class file_sink final : public byte_sink {
 public:
  explicit file_sink(const char* path) : file_(std::fopen(path, "wb")) {
    if (file_ == nullptr) throw error(sqlstate::io_error, std::string("could not create ") + path);
  }
  ~file_sink() override { std::fclose(file_); }
  void write(const void* from, std::size_t count) override {
    if (std::fwrite(from, 1, count, file_) != count) throw error(sqlstate::io_error, "could not write");
  }

 private:
  std::FILE* file_;
};

// Rows of different sizes, so that importance differs and pruning has something to choose.
std::vector<float> random_row(std::mt19937_64& generator, std::size_t columns) {
  std::normal_distribution<float> normal(0.0f, 0.02f);
  const float scale = std::exp(0.3f * std::normal_distribution<float>()(generator));
  std::vector<float> row(columns);
  for (float& w : row) w = scale * normal(generator);
  return row;
}

void write_model(const char* path, format f, std::size_t tensors, std::uint64_t rows, std::uint64_t columns,
                 std::uint64_t seed) {
  gguf_metadata metadata;
  metadata_from_json(R"({"format":"gguf","version":3,"alignment":32,"kv":[)"
                     R"({"key":"general.architecture","type":"string","value":"benchmark"}]})",
                     metadata);
  std::vector<gguf_tensor_spec> specs;
  for (std::size_t i = 0; i < tensors; ++i)
    specs.push_back({"blk." + std::to_string(i) + ".ffn_up.weight",
                     rows == 1 ? std::vector<std::uint64_t>{columns} : std::vector<std::uint64_t>{columns, rows}, f});
  file_sink sink(path);
  gguf_writer writer(sink, metadata, specs);
  writer.write_header();
  std::mt19937_64 generator(seed);
  std::vector<std::byte> blocks(bytes_of(f, columns));
  no_interrupts none;
  for (std::size_t i = 0; i < tensors; ++i) {
    writer.begin_tensor(i);
    for (std::uint64_t row = 0; row < rows; ++row) {
      quantize(f, random_row(generator, columns), {}, blocks.data(), none);
      writer.write(blocks.data(), blocks.size());
    }
    writer.end_tensor();
  }
}

}  // namespace

int main(int argc, char** argv) try {
  const format_traits* f = argc >= 6 ? find_format(argv[2], std::string(argv[2]).size()) : nullptr;
  if (f == nullptr) {
    std::fprintf(stderr, "usage: make_model PATH FORMAT TENSORS ROWS COLUMNS [SEED]\n");
    return 2;
  }
  write_model(argv[1], f->id, std::strtoull(argv[3], nullptr, 10), std::strtoull(argv[4], nullptr, 10),
              std::strtoull(argv[5], nullptr, 10), argc > 6 ? std::strtoull(argv[6], nullptr, 10) : 1);
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "make_model: %s\n", e.what());
  return 1;
}
