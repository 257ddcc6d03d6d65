// ggml's own encoders and decoders of weights. The bytes in test/unit/golden are what they make of input.f32, without
// and with imatrix.f32, and bench/formats.sh measures beside them. Needs ggml's headers and its library ggml-base.
//
// Usage: ggml encode FORMAT COLUMNS IN.f32 OUT [IMPORTANCE.f32]
//          writes the blocks of the rows of floats in IN.f32, by the importance of each column if given
//        ggml decode FORMAT IN OUT.f32
//          writes the floats of the blocks in IN
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "ggml.h"

namespace {

std::vector<char> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<float> read_floats(const std::string& path) {
  const std::vector<char> bytes = read_file(path);
  std::vector<float> values(bytes.size() / sizeof(float));
  std::copy_n(bytes.data(), values.size() * sizeof(float), reinterpret_cast<char*>(values.data()));
  return values;
}

void write_file(const std::string& path, const void* bytes, std::size_t size) {
  std::ofstream file(path, std::ios::binary);
  if (!file.write(static_cast<const char*>(bytes), static_cast<std::streamsize>(size))) {
    throw std::runtime_error("cannot write " + path);
  }
}

ggml_type type_of(const std::string& name) {
  for (int type = 0; type < GGML_TYPE_COUNT; ++type) {
    const char* known = ggml_type_name(static_cast<ggml_type>(type));
    std::string upper = known != nullptr ? known : "";
    for (char& c : upper) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    if (upper == name) return static_cast<ggml_type>(type);
  }
  throw std::runtime_error("no format " + name);
}

void encode(ggml_type type, std::int64_t columns, const std::vector<float>& values, const std::string& out,
            const std::vector<float>& importance) {
  const std::int64_t rows = static_cast<std::int64_t>(values.size()) / columns;
  std::vector<char> blocks(ggml_row_size(type, columns) * static_cast<std::size_t>(rows));
  ggml_quantize_chunk(type, values.data(), blocks.data(), 0, rows, columns,
                      importance.empty() ? nullptr : importance.data());
  write_file(out, blocks.data(), blocks.size());
}

void decode(ggml_type type, const std::vector<char>& blocks, const std::string& out) {
  const std::size_t count = blocks.size() / ggml_type_size(type) * static_cast<std::size_t>(ggml_blck_size(type));
  std::vector<float> values(count);
  ggml_get_type_traits(type)->to_float(blocks.data(), values.data(), static_cast<std::int64_t>(count));
  write_file(out, values.data(), count * sizeof(float));
}

int run(const std::vector<std::string>& arguments) {
  const std::size_t count = arguments.size();
  if ((count == 5 || count == 6) && arguments[0] == "encode") {
    encode(type_of(arguments[1]), std::stoll(arguments[2]), read_floats(arguments[3]), arguments[4],
           count == 6 ? read_floats(arguments[5]) : std::vector<float>());
    return 0;
  }
  if (count == 4 && arguments[0] == "decode") {
    decode(type_of(arguments[1]), read_file(arguments[2]), arguments[3]);
    return 0;
  }
  std::fputs("usage: ggml encode FORMAT COLUMNS IN.f32 OUT [IMPORTANCE.f32]\n       ggml decode FORMAT IN OUT.f32\n",
             stderr);
  return 2;
}

}  // namespace

int main(int count, char** values) {
  try {
    return run({values + 1, values + count});
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
