// Speed of every codec in both directions, in GB/s of float32, beside memcpy of the same size in the same run and
// beside the scalar reference of the same build; then of what decodes as it goes, beside decoding alone.
//
// "L2" is a run of 128 KiB of floats, "64 MiB" one that no cache holds; both go through the public functions with
// their checks, into memory that has been touched. All measurements take turns (random interleaving), the table has
// medians. Usage: codecs [--benchmark_filter=REGEX ...]; bench/codecs.sh builds and runs it.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "hartonomous/codec.hpp"
#include "hartonomous/simd.hpp"
#include "hartonomous/statistics.hpp"

namespace {

using namespace hartonomous;

constexpr std::size_t in_cache = std::size_t{1} << 15;
constexpr std::size_t in_memory = std::size_t{1} << 24;
constexpr std::size_t row = 4096;

enum class direction { quantize, quantize_by_importance, dequantize };
constexpr const char* direction_names[] = {"quantize", "quantize by importance", "dequantize"};

const std::vector<float>& weights() {
  static const auto* const values = [] {
    auto* drawn = new std::vector<float>(in_memory);
    std::mt19937_64 generator(7);
    std::normal_distribution<float> normal(0.0f, 0.02f);
    for (float& value : *drawn) value = normal(generator);
    return drawn;
  }();
  return *values;
}

const std::vector<float>& importance() {
  static const auto* const values = [] {
    auto* drawn = new std::vector<float>(row);
    std::mt19937_64 generator(8);
    std::exponential_distribution<float> skewed(1.0f);
    for (float& value : *drawn) value = skewed(generator);
    return drawn;
  }();
  return *values;
}

void report_floats(benchmark::State& state, std::size_t count) {
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) *
                          static_cast<std::int64_t>(count * sizeof(float)));
}

void copy(benchmark::State& state, std::size_t count) {
  std::vector<float> out(count);
  for (auto _ : state) {
    std::memcpy(out.data(), weights().data(), count * sizeof(float));
    benchmark::ClobberMemory();
  }
  report_floats(state, count);
}

// Blocks for reading: those of a short run, over and over.
std::vector<std::byte> blocks_of(format f, std::size_t count) {
  std::vector<std::byte> blocks(bytes_of(f, count));
  no_interrupts none;
  for (std::size_t at = 0; at < std::min(count, in_cache); at += row) {
    quantize(f, span<const float>(weights().data() + at, row), importance(), blocks.data() + bytes_of(f, at), none);
  }
  const auto encoded = static_cast<std::size_t>(bytes_of(f, in_cache));
  for (std::size_t at = encoded; at < blocks.size(); at += encoded) std::copy_n(&blocks[0], encoded, &blocks[at]);
  return blocks;
}

void quantize_rows(benchmark::State& state, format f, std::size_t count, bool by_importance) {
  const span<const float> weighing = by_importance ? span<const float>(importance()) : span<const float>();
  std::vector<std::byte> out(bytes_of(f, count));
  no_interrupts none;
  for (auto _ : state) {
    // Without importance rows do not matter.
    const std::size_t step = by_importance ? row : count;
    for (std::size_t at = 0; at < count; at += step) {
      quantize(f, span<const float>(weights().data() + at, step), weighing, out.data() + bytes_of(f, at), none);
    }
    benchmark::ClobberMemory();
  }
  report_floats(state, count);
}

void dequantize_run(benchmark::State& state, format f, std::size_t count) {
  const std::vector<std::byte> blocks = blocks_of(f, count);
  std::vector<float> out(count);
  no_interrupts none;
  for (auto _ : state) {
    dequantize(f, blocks, count, out.data(), none);
    benchmark::ClobberMemory();
  }
  report_floats(state, count);
}

void scalar_codec(benchmark::State& state, format f, direction way) {
  const codec& with = *find_scalar_codec(f);
  const std::size_t block = traits_of(f).block_weights;
  const std::size_t count = way == direction::dequantize ? in_cache : row;
  std::vector<std::byte> blocks(bytes_of(f, count));
  std::vector<float> out(count);
  const float* weighing = way == direction::quantize_by_importance ? importance().data() : nullptr;
  with.quantize_blocks(weights().data(), nullptr, 0.0f, blocks.data(), count / block);
  for (auto _ : state) {
    if (way == direction::dequantize) {
      with.dequantize_blocks(blocks.data(), out.data(), count / block);
    } else {
      with.quantize_blocks(weights().data(), weighing, 4e-4f, blocks.data(), count / block);
    }
    benchmark::ClobberMemory();
  }
  report_floats(state, count);
}

// dot, relative_error and matvec of blocks with floats.
enum class reading { dot, relative_error, matvec };
constexpr const char* reading_names[] = {"dot with floats", "relative error", "matvec"};

void read_run(benchmark::State& state, format f, std::size_t count, reading what) {
  no_interrupts none;
  const span<const float> floats(weights().data(), count);
  const std::vector<std::byte> blocks = blocks_of(f, count);
  const block_run run = {f, blocks, count};
  std::vector<float> out(count / row);
  for (auto _ : state) {
    if (what == reading::dot) {
      benchmark::DoNotOptimize(dot(run, run_of(floats), none));
    } else if (what == reading::relative_error) {
      benchmark::DoNotOptimize(relative_error(run_of(floats), run, none));
    } else {
      matvec(run, importance(), out.data(), none);
      benchmark::ClobberMemory();
    }
  }
  report_floats(state, count);
}

// ---- the table -------------------------------------------------------------------------------------------------

bool has_importance(format f) { return traits_of(f).block_weights > 1 && f != format::Q8_0; }

std::string name_of(const char* where, const char* what, format f) {
  return std::string(where) + "/" + what + "/" + traits_of(f).name;
}

std::string name_of(const char* where, direction way, format f) {
  return name_of(where, direction_names[static_cast<int>(way)], f);
}

void register_all() {
  const auto add = [](const std::string& name, auto body) {
    benchmark::RegisterBenchmark(name.c_str(), body)->MinTime(0.05);
  };
  add("L2/memcpy", [](benchmark::State& s) { copy(s, in_cache); });
  add("64 MiB/memcpy", [](benchmark::State& s) { copy(s, in_memory); });
  for (const format f : readable_formats()) {
    for (const direction way : {direction::quantize, direction::quantize_by_importance, direction::dequantize}) {
      if (way == direction::quantize_by_importance && !has_importance(f)) continue;
      if (way == direction::quantize && needs_importance(f)) continue;
      for (const auto& [where, count] : {std::pair{"L2", in_cache}, std::pair{"64 MiB", in_memory}}) {
        add(name_of(where, way, f), [f = f, way = way, count = count](benchmark::State& s) {
          if (way == direction::dequantize) {
            dequantize_run(s, f, count);
          } else {
            quantize_rows(s, f, count, way == direction::quantize_by_importance);
          }
        });
      }
      add(name_of("scalar", way, f), [f, way](benchmark::State& s) { scalar_codec(s, f, way); });
    }
    for (const reading what : {reading::dot, reading::relative_error, reading::matvec}) {
      for (const auto& [where, count] : {std::pair{"L2", in_cache}, std::pair{"64 MiB", in_memory}}) {
        add(name_of(where, reading_names[static_cast<int>(what)], f),
            [f = f, what = what, count = count](benchmark::State& s) { read_run(s, f, count, what); });
      }
    }
  }
}

// Keeps the medians; the table is printed at the end.
// Prints the table only; --benchmark_out writes all of it.
class table final : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override { return true; }

  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (run.run_type == Run::RT_Aggregate && run.aggregate_name != "median") continue;
      medians_[run.run_name.function_name] = run.counters.at("bytes_per_second") / 1e9;
    }
    std::fputc('.', stderr);
  }

  void Finalize() override {
    std::printf("\n\nGB/s of float32 on one core, %s; (x memcpy of that size)\n\n", simd_target());
    std::printf("%-8s%-24s%9s%18s%18s%10s\n", "format", "", "scalar", "L2", "64 MiB", "x scalar");
    std::printf("%-32s%9s%9.1f%18.1f\n", "memcpy", "", medians_["L2/memcpy"], medians_["64 MiB/memcpy"]);
    for (const direction way : {direction::quantize, direction::quantize_by_importance, direction::dequantize}) {
      for (const format f : readable_formats()) print_line(way, f);
    }
    std::printf("\n%-32s%9s%18s%18s\n", "reading, GB/s of float32", "", "L2 (x decoding)", "64 MiB");
    for (const char* what : reading_names) {
      for (const format f : readable_formats()) print_reading(what, f);
    }
  }

 private:
  void print_line(direction way, format f) {
    const auto found = medians_.find(name_of("L2", way, f));
    if (found == medians_.end()) return;
    const double scalar = medians_[name_of("scalar", way, f)], cached = found->second;
    const double memory = medians_[name_of("64 MiB", way, f)];
    std::printf("%-8s%-24s%9.3f%9.2f (%5.2fx)%9.2f (%5.2fx)%9.1fx\n", traits_of(f).name,
                direction_names[static_cast<int>(way)], scalar, cached, cached / medians_["L2/memcpy"], memory,
                memory / medians_["64 MiB/memcpy"], cached / scalar);
  }

  void print_reading(const char* what, format f) {
    const auto found = medians_.find(name_of("L2", what, f));
    if (found == medians_.end()) return;
    std::printf("%-8s%-24s%18.2f (%5.2fx)%9.2f\n", traits_of(f).name, what, found->second,
                found->second / medians_[name_of("L2", direction::dequantize, f)],
                medians_[name_of("64 MiB", what, f)]);
  }

  std::map<std::string, double> medians_;
};

}  // namespace

int main(int count, char** values) {
  std::vector<char*> arguments(values, values + count);
  std::string defaults[] = {"--benchmark_repetitions=5", "--benchmark_enable_random_interleaving=true"};
  for (std::string& one : defaults) arguments.insert(arguments.begin() + 1, one.data());
  int argument_count = static_cast<int>(arguments.size());
  benchmark::Initialize(&argument_count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(argument_count, arguments.data())) return 1;
  register_all();
  table print;
  benchmark::RunSpecifiedBenchmarks(&print);
  return 0;
}
