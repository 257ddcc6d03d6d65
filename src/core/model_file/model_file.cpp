// GGUF and safetensors headers in one form (hartonomous/model_file.hpp).
#include "hartonomous/model_file.hpp"

#include <cstdint>
#include <utility>

#include <nlohmann/json.hpp>

#include "bytes/text.hpp"
#include "hartonomous/error.hpp"
#include "hartonomous/gguf.hpp"
#include "hartonomous/safetensors.hpp"
#include "hartonomous/tokenizer.hpp"
#include "model_file/pieces.hpp"

namespace hartonomous {

using namespace model_file_detail;

namespace {

std::uint64_t product(const std::vector<std::uint64_t>& shape) {
  std::uint64_t n = 1;  // cannot overflow: the readers have checked it
  for (std::uint64_t d : shape) n *= d;
  return n;
}

model_file from_gguf(const gguf_file& header, interrupt_checker& interrupts) {
  check_tokens(header, interrupts);
  model_file file;
  file.metadata_json = metadata_to_json(header, interrupts);
  for (const gguf_tensor& t : header.tensors) {
    model_tensor m;
    m.name = t.name;
    m.dtype = traits_of(t.type).name;
    m.storage = t.type;
    m.shape.assign(t.dims.rbegin(), t.dims.rend());
    m.row_length = t.dims.empty() ? 1 : t.dims.front();
    m.weights = t.weights;
    m.offset = t.offset;
    m.bytes = t.bytes;
    if (is_unknown_type(t.type)) {  // its bytes, whatever they mean
      m.dtype = name_of_unknown_type(t.type);
      m.storage = format::I8;
      m.weights = t.bytes;
      if (t.bytes != 0) m.row_length = t.bytes;
    }
    file.tensors.push_back(std::move(m));
  }
  return file;
}

model_file from_safetensors(safetensors_file header) {
  model_file file;
  // The header itself, byte for byte, so that an export of unchanged tensors can reproduce it.
  file.metadata_json = nlohmann::json{{"format", "safetensors"}, {"header", header.header_json}}.dump();
  for (safetensors_tensor& t : header.tensors) {
    if (t.name.size() > max_tensor_name_bytes) {
      throw error(sqlstate::invalid_parameter_value, "safetensors: tensor name " + show_name(t.name) + " is too long",
                  "It has " + std::to_string(t.name.size()) + " bytes; the limit is " +
                      std::to_string(max_tensor_name_bytes) + ".");
    }
    model_tensor m;
    m.name = std::move(t.name);
    m.dtype = t.dtype;
    m.storage = safetensors_storage_format(t.dtype);
    m.row_length = safetensors_row_length(t.shape);
    // Elements below 8 bits are stored as their packed bytes.
    m.weights = t.bytes / traits_of(m.storage).block_bytes;
    if (product(t.shape) != m.weights) m.row_length = m.weights;
    m.shape = std::move(t.shape);
    m.offset = t.offset;
    m.bytes = t.bytes;
    file.tensors.push_back(std::move(m));
  }
  return file;
}

// Reads the header of each file with `read` and, if there are several, puts them together with `join`.
template <class Header, class Read, class Join>
Header read_headers(const std::vector<byte_source*>& files, const joined_source& data, Read read, Join join) {
  std::vector<Header> headers;
  each_file(files.size(), [&](std::size_t i) { headers.push_back(read(*files[i])); });
  return headers.size() == 1 ? std::move(headers.front()) : join(std::move(headers), data);
}

}  // namespace

readable_model read_model_files(const std::vector<byte_source*>& files, std::string_view container,
                                std::string_view pre_tokenizer, interrupt_checker& interrupts) {
  readable_model out;
  auto data = std::make_unique<joined_source>(files);
  if (container == "gguf") {
    const auto read = [&](byte_source& file) { return read_gguf_header(file, interrupts); };
    gguf_file header = read_headers<gguf_file>(files, *data, read, join_gguf);
    if (!pre_tokenizer.empty()) name_pre_tokenizer(header, pre_tokenizer);
    out.file = from_gguf(header, interrupts);
  } else if (container == "safetensors") {
    const auto read = [&](byte_source& file) { return read_safetensors_header(file, interrupts); };
    if (!pre_tokenizer.empty()) {
      throw error(sqlstate::invalid_parameter_value, "a pre-tokenizer requires a tokenizer");
    }
    out.file = from_safetensors(read_headers<safetensors_file>(files, *data, read, join_safetensors));
  } else {
    throw error(sqlstate::invalid_parameter_value, "unknown container \"" + std::string(container) + "\"", {},
                "Formats are \"gguf\" and \"safetensors\".");
  }
  out.data = std::move(data);
  return out;
}

}  // namespace hartonomous
