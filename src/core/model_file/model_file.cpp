// GGUF and safetensors headers in one form (hartonomous/model_file.hpp).
#include "hartonomous/model_file.hpp"

#include <cstdint>

#include <nlohmann/json.hpp>

#include "bytes/text.hpp"
#include "hartonomous/error.hpp"
#include "hartonomous/gguf.hpp"
#include "hartonomous/safetensors.hpp"
#include "hartonomous/tokenizer.hpp"

namespace hartonomous {
namespace {

std::uint64_t product(const std::vector<std::uint64_t>& shape) {
  std::uint64_t n = 1;  // cannot overflow: the readers have checked it
  for (std::uint64_t d : shape) n *= d;
  return n;
}

model_file from_gguf(byte_source& source, interrupt_checker& interrupts) {
  const gguf_file header = read_gguf_header(source, interrupts);
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
    file.tensors.push_back(std::move(m));
  }
  return file;
}

model_file from_safetensors(byte_source& source, interrupt_checker& interrupts) {
  safetensors_file header = read_safetensors_header(source, interrupts);
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

}  // namespace

model_file read_model_file(byte_source& source, std::string_view container, interrupt_checker& interrupts) {
  if (container == "gguf") return from_gguf(source, interrupts);
  if (container == "safetensors") return from_safetensors(source, interrupts);
  throw error(sqlstate::invalid_parameter_value, "unknown container \"" + std::string(container) + "\"", {},
              "Formats are \"gguf\" and \"safetensors\".");
}

}  // namespace hartonomous
