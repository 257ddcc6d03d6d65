// Every format beside ggml's own code, in one process and on one core: whether the bytes and the floats are the same,
// and how fast either is. Needs ggml's headers and its library ggml-base; bench/formats.sh compiles it.
//
// Usage: formats [ROUNDS]. Speeds are GB/s of float32, medians of the rounds, in which both take turns.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <random>
#include <vector>

#include "ggml.h"
#include "hartonomous/codec.hpp"
#include "hartonomous/simd.hpp"

namespace {

using namespace hartonomous;

constexpr std::size_t columns = 4096, rows = 16, count = rows * columns;

// Of this thread's processor, so that other work on the machine matters less.
double seconds_now() {
  timespec now = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

template <class F>
double seconds_of(F&& work) {
  const double start = seconds_now();
  work();
  return seconds_now() - start;
}

struct comparison {
  bool equal = false;
  double ours = 0.0, ggml = 0.0;  // GB/s

  template <class A, class B>
  void measure(int rounds, A&& mine, B&& theirs) {
    std::vector<double> a, b;
    for (int round = 0; round < rounds; ++round) {
      a.push_back(seconds_of(mine));
      b.push_back(seconds_of(theirs));
    }
    const auto speed = [](std::vector<double>& seconds) {
      std::nth_element(seconds.begin(), seconds.begin() + seconds.size() / 2, seconds.end());
      return count * sizeof(float) / seconds[seconds.size() / 2] / 1e9;
    };
    ours = speed(a);
    ggml = speed(b);
  }
};

comparison compare_writing(format f, const std::vector<float>& values, const std::vector<float>& importance, int rounds,
                           std::vector<std::byte>& blocks) {
  const auto row_bytes = static_cast<std::size_t>(bytes_of(f, columns));
  const auto type = static_cast<ggml_type>(f);
  no_interrupts none;
  std::vector<std::byte> theirs(blocks.size());
  const auto write = [&] {
    for (std::size_t row = 0; row < rows; ++row) {
      quantize(f, span<const float>(&values[row * columns], columns), importance, &blocks[row * row_bytes], none);
    }
  };
  const auto write_by_ggml = [&] {
    ggml_quantize_chunk(type, values.data(), theirs.data(), 0, rows, columns,
                        importance.empty() ? nullptr : importance.data());
  };
  write();  // makes what is made at first use
  write_by_ggml();
  comparison result;
  result.equal = blocks == theirs;
  result.measure(rounds, write, write_by_ggml);
  return result;
}

comparison compare_reading(format f, const std::vector<std::byte>& blocks, int rounds) {
  std::vector<float> ours(count), theirs(count);
  no_interrupts none;
  const auto read = [&] { dequantize(f, blocks, count, ours.data(), none); };
  const auto read_by_ggml = [&] {
    ggml_get_type_traits(static_cast<ggml_type>(f))->to_float(blocks.data(), theirs.data(), count);
  };
  read();
  read_by_ggml();
  comparison result;
  result.equal = std::memcmp(ours.data(), theirs.data(), count * sizeof(float)) == 0;
  result.measure(20 * rounds, read, read_by_ggml);
  return result;
}

void print(const comparison& c) {
  std::printf(" | %-5s %7.3f %6.2fx", c.equal ? "equal" : "DIFF", c.ours, c.ours / c.ggml);
}

void print_line(format f, const std::vector<float>& values, const std::vector<float>& importance, int rounds) {
  std::printf("%-8s", traits_of(f).name);
  std::vector<std::byte> blocks(bytes_of(f, count));
  if (needs_importance(f)) {
    std::printf(" | needs importance      ");
  } else {
    print(compare_writing(f, values, {}, rounds, blocks));
  }
  print(compare_writing(f, values, importance, rounds, blocks));
  print(compare_reading(f, blocks, rounds));
  std::printf("\n");
  std::fflush(stdout);
}

}  // namespace

int main(int arguments, char** given) {
  const int rounds = arguments > 1 ? std::atoi(given[1]) : 5;
  std::mt19937_64 generator(7);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::exponential_distribution<float> skewed(1.0f);
  std::vector<float> values(count), importance(columns);
  for (float& value : values) value = normal(generator);
  for (float& weight : importance) weight = skewed(generator);
  std::printf("GB/s of float32 on one core, %s; x: the speed of ggml in the same run\n\n", simd_target());
  std::printf("%-8s | %-22s | %-22s | %-22s\n", "format", "written", "written by importance", "read");
  for (const format_traits& traits : all_formats()) {
    if (!traits.readable || traits.id == format::F32) continue;
    print_line(traits.id, values, importance, rounds);
  }
  return 0;
}
