// The codec of archives on one core: the share of their bytes that weights keep, and the speed of both directions,
// beside zstd at level 3 and lz4 on the raw bytes, for bench/archive.sh.
//
//   archive [FILE.gguf...]     normal numbers, and the tensors of these models
//
// "F32 from BF16" are F32 all of which are BF16. Every tensor is a chunk, or several of 4 MiB; models are converted to
// each format, so that the weights are trained ones. Speeds are in GB/s of raw bytes, the best of several passes by
// processor time.
#include <lz4.h>
#include <zstd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <functional>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "hartonomous/archive.hpp"
#include "hartonomous/bytes.hpp"
#include "hartonomous/codec.hpp"
#include "hartonomous/gguf.hpp"

namespace {

using namespace hartonomous;

using bytes = std::vector<std::byte>;

constexpr std::size_t chunk_bytes = std::size_t{4} << 20;
constexpr int passes = 5;
constexpr std::size_t least_bytes = std::size_t{64} << 20;  // of each measurement

double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

struct run_of_weights {
  format id;
  std::uint32_t count;
  bytes blocks;
};
using weights = std::vector<run_of_weights>;

struct method {
  const char* name;
  std::function<bytes(const run_of_weights&)> compress;
  std::function<void(const run_of_weights&, const bytes&)> decompress;  // checks that nothing is lost
};

void require_same(const void* a, const run_of_weights& original) {
  if (std::memcmp(a, original.blocks.data(), original.blocks.size()) != 0) {
    std::fprintf(stderr, "weights were lost\n");
    std::exit(1);
  }
}

method archive_method() {
  return {"archive",
          [](const run_of_weights& run) {
            no_interrupts none;
            const atom_weights atom = {run.id, run.count, run.blocks};
            return archive_weights({&atom, 1}, {}, none);
          },
          [](const run_of_weights& run, const bytes& chunk) {
            no_interrupts none;
            const archived_weights read = read_archived_weights(chunk, {}, most_archived_bytes, none);
            require_same(read.blocks.data(), run);
          }};
}

method zstd_method() {
  return {"zstd -3",
          [](const run_of_weights& run) {
            bytes out(ZSTD_compressBound(run.blocks.size()));
            out.resize(ZSTD_compress(out.data(), out.size(), run.blocks.data(), run.blocks.size(), 3));
            return out;
          },
          [](const run_of_weights& run, const bytes& compressed) {
            bytes out(run.blocks.size());
            ZSTD_decompress(out.data(), out.size(), compressed.data(), compressed.size());
            require_same(out.data(), run);
          }};
}

method lz4_method() {
  const auto chars = [](const bytes& of) { return reinterpret_cast<const char*>(of.data()); };
  return {"lz4",
          [chars](const run_of_weights& run) {
            const int size = static_cast<int>(run.blocks.size());
            bytes out(static_cast<std::size_t>(LZ4_compressBound(size)));
            out.resize(static_cast<std::size_t>(LZ4_compress_default(
                chars(run.blocks), reinterpret_cast<char*>(out.data()), size, static_cast<int>(out.size()))));
            return out;
          },
          [chars](const run_of_weights& run, const bytes& compressed) {
            bytes out(run.blocks.size());
            LZ4_decompress_safe(chars(compressed), reinterpret_cast<char*>(out.data()),
                                static_cast<int>(compressed.size()), static_cast<int>(out.size()));
            require_same(out.data(), run);
          }};
}

struct measured {
  double ratio, encode, decode;
};

measured measure(const method& by, const weights& runs) {
  std::size_t raw = 0;
  for (const run_of_weights& run : runs) raw += run.blocks.size();
  const std::size_t times = std::max<std::size_t>(1, least_bytes / raw);
  double encode = 1e9;
  double decode = 1e9;
  std::size_t compressed = 0;
  std::vector<bytes> chunks(runs.size());
  for (int pass = 0; pass < passes; ++pass) {
    double begin = processor_seconds();
    for (std::size_t time = 0; time < times; ++time) {
      for (std::size_t i = 0; i < runs.size(); ++i) chunks[i] = by.compress(runs[i]);
    }
    encode = std::min(encode, processor_seconds() - begin);
    begin = processor_seconds();
    for (std::size_t time = 0; time < times; ++time) {
      for (std::size_t i = 0; i < runs.size(); ++i) by.decompress(runs[i], chunks[i]);
    }
    decode = std::min(decode, processor_seconds() - begin);
  }
  for (const bytes& chunk : chunks) compressed += chunk.size();
  const double total = 1e-9 * static_cast<double>(raw * times);
  return {static_cast<double>(compressed) / static_cast<double>(raw), total / encode, total / decode};
}

// The tensors as F32.
using tensors = std::vector<std::vector<float>>;

run_of_weights converted(format id, span<const float> values) {
  run_of_weights run = {id, static_cast<std::uint32_t>(values.size()), bytes(bytes_of(id, values.size()))};
  no_interrupts none;
  quantize(id, values, {}, run.blocks.data(), none);
  return run;
}

weights in_format(const tensors& all, format id, format through) {
  weights runs;
  no_interrupts none;
  for (const std::vector<float>& tensor : all) {
    for (std::size_t at = 0; at < tensor.size(); at += chunk_bytes / 4) {
      std::vector<float> part(
          tensor.begin() + static_cast<std::ptrdiff_t>(at),
          tensor.begin() + static_cast<std::ptrdiff_t>(std::min(tensor.size(), at + chunk_bytes / 4)));
      const run_of_weights first = converted(through, part);
      dequantize(through, first.blocks, part.size(), part.data(), none);
      runs.push_back(converted(id, part));
    }
  }
  return runs;
}

void report(const std::string& name, const tensors& all) {
  const struct {
    const char* name;
    format id, through;
    const char* target;  // the ratio that the archive is to reach; its speeds are to be 0.5 and 1 in any format
  } formats[] = {{"BF16", format::BF16, format::BF16, "0.67"},   {"F16", format::F16, format::F16, ""},
                 {"F32", format::F32, format::F32, "0.84"},      {"F32 from BF16", format::F32, format::BF16, "0.34"},
                 {"F32 from F16", format::F32, format::F16, ""}, {"Q8_0", format::Q8_0, format::F32, ""},
                 {"Q4_K", format::Q4_K, format::F32, ""}};
  std::printf("%s\n%-16s| target   ratio encode decode ", name.c_str(), "");
  const std::vector<method> methods = {archive_method(), zstd_method(), lz4_method()};
  for (const method& by : methods) std::printf("| %-8s ratio encode decode ", by.name);
  std::printf("\n");
  for (const auto& one : formats) {
    const weights runs = in_format(all, one.id, one.through);
    std::printf("%-16s|         %6s    0.5    1.0 ", one.name, one.target);
    for (const method& by : methods) {
      const measured found = measure(by, runs);
      std::printf("|         %6.3f %6.2f %6.2f ", found.ratio, found.encode, found.decode);
    }
    std::printf("\n");
  }
}

tensors normal_numbers() {
  std::mt19937_64 generator(7);
  std::normal_distribution<float> normal(0.0F, 0.02F);
  tensors one(1, std::vector<float>(std::size_t{1} << 22));
  for (float& value : one[0]) value = normal(generator);
  return one;
}

tensors tensors_of(const char* file) {
  std::ifstream in(file, std::ios::binary);
  const std::string content((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  memory_source source(content.data(), content.size());
  no_interrupts none;
  tensors all;
  for (const gguf_tensor& tensor : read_gguf_header(source, none).tensors) {
    if (tensor.weights % 256 != 0) continue;  // every format can have the others
    bytes blocks(tensor.bytes);
    source.read(tensor.offset, blocks.data(), blocks.size());
    all.emplace_back(tensor.weights);
    dequantize(tensor.type, blocks, tensor.weights, all.back().data(), none);
  }
  return all;
}

}  // namespace

int main(int argc, char** argv) try {
  report("normal numbers, standard deviation 0.02", normal_numbers());
  for (int i = 1; i < argc; ++i) report(argv[i], tensors_of(argv[i]));
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
