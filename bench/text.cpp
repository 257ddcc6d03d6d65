// Speed of tokenizers, in MB/s of text, and of Levenshtein's distance, in cells of its matrix.
//
// Usage: text [MODEL.gguf TEXT] [--benchmark_filter=REGEX ...], by default the example model and its held-out text,
// from the root of the source tree. Build: cmake --preset bench && cmake --build --preset bench --target text
#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <random>
#include <stdexcept>
#include <string>

#include "hartonomous/error.hpp"
#include "hartonomous/levenshtein.hpp"
#include "hartonomous/tokenizer.hpp"

namespace {

using namespace hartonomous;

std::string read_file(const char* path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error(std::string("cannot read ") + path);
  return {std::istreambuf_iterator<char>(in), {}};
}

gguf_file read_model(const char* path) {
  const std::string bytes = read_file(path);
  memory_source source(bytes.data(), bytes.size());
  no_interrupts interrupts;
  return read_gguf_header(source, interrupts);
}

void report_text(benchmark::State& state, std::size_t bytes) {
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * static_cast<std::int64_t>(bytes));
}

void create(benchmark::State& state, const gguf_metadata& metadata) {
  no_interrupts interrupts;
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer::create(metadata, interrupts));
}

void encode(benchmark::State& state, const tokenizer& words, const std::string& text) {
  no_interrupts interrupts;
  for (auto _ : state) benchmark::DoNotOptimize(words.encode(text, true, false, interrupts));
  report_text(state, text.size());
}

void decode(benchmark::State& state, const tokenizer& words, const std::string& text) {
  no_interrupts interrupts;
  const std::vector<std::int32_t> tokens = words.encode(text, true, false, interrupts);
  for (auto _ : state) benchmark::DoNotOptimize(words.decode(tokens, false, interrupts));
  report_text(state, text.size());
}

void distance(benchmark::State& state) {
  const auto length = static_cast<std::size_t>(state.range(0));
  std::mt19937 random(1);
  std::string a(length, 'a'), b(length, 'a');
  for (char& c : a) c = static_cast<char>('a' + random() % 26);
  for (char& c : b) c = static_cast<char>('a' + random() % 26);
  no_interrupts interrupts;
  for (auto _ : state) benchmark::DoNotOptimize(levenshtein(a, b, interrupts).distance);
  state.counters["cells"] = benchmark::Counter(static_cast<double>(length) * static_cast<double>(length),
                                               benchmark::Counter::kIsIterationInvariantRate);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (argc != 1 && argc != 3) {
    std::fprintf(stderr, "usage: text [MODEL.gguf TEXT]\n");
    return 2;
  }
  const gguf_file model = read_model(argc == 3 ? argv[1] : "examples/tiny-stories.gguf");
  const std::string text = read_file(argc == 3 ? argv[2] : "examples/heldout.txt");
  no_interrupts interrupts;
  const auto words = tokenizer::create(model, interrupts);
  benchmark::RegisterBenchmark("make a tokenizer", create, model)->Unit(benchmark::kMillisecond);
  benchmark::RegisterBenchmark("tokenize", [&](auto& state) {
    encode(state, *words, text);
  })->Unit(benchmark::kMillisecond);
  benchmark::RegisterBenchmark("detokenize", [&](auto& state) {
    decode(state, *words, text);
  })->Unit(benchmark::kMillisecond);
  benchmark::RegisterBenchmark("levenshtein", distance)
      ->RangeMultiplier(10)
      ->Range(10, 100000)
      ->Unit(benchmark::kMicrosecond);
  benchmark::RunSpecifiedBenchmarks();
}
