// libFuzzer: any bytes as a safetensors file, and as its header alone. What is accepted must survive being written
// again.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "hartonomous/error.hpp"
#include "hartonomous/safetensors.hpp"

namespace {

using namespace hartonomous;

void require(bool condition) {
  if (!condition) std::abort();
}

void check_rewrite(const safetensors_file& file) {
  require(header_matches(file.header_json, file.tensors));
  std::string bytes = make_safetensors_header(file.tensors, file.metadata);
  std::uint64_t rows = 0;
  std::uint64_t data = 0;
  for (const auto& tensor : file.tensors) {
    data += tensor.bytes;
    safetensors_storage_format(tensor.dtype);
    if (tensor.bytes > 0) rows += safetensors_row_length(tensor.shape);
  }
  require(rows <= 2 * data);  // rows of 4-bit elements are the longest
  bytes.resize(bytes.size() + data);
  memory_source source(bytes.data(), bytes.size());
  const safetensors_file again = read_safetensors_header(source);
  require(again.metadata == file.metadata && header_matches(again.header_json, file.tensors));
}

void parse(const char* data, std::size_t size) {
  safetensors_file file;
  try {
    memory_source source(data, size);
    file = read_safetensors_header(source);
  } catch (const error&) {
    return;
  }
  try {
    check_rewrite(file);
  } catch (const error&) {
    std::abort();  // what was read must be writable
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const auto data = reinterpret_cast<const char*>(bytes);
  parse(data, size);
  // The same bytes as the JSON, with the length a file would have: else mutations seldom get past it.
  std::string framed(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) framed[i] = static_cast<char>(std::uint64_t{size} >> (8 * i) & 0xff);
  framed.append(data, size);
  for (std::size_t const extra : {0, 4, 16}) {
    parse(framed.data(), framed.size());
    framed.append(extra, 'd');
  }
  return 0;
}
