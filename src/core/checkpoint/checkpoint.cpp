// A checkpoint as a GGUF model (hartonomous/checkpoint.hpp).
#include "hartonomous/checkpoint.hpp"

#include <cstdint>

#include "checkpoint/config.hpp"
#include "checkpoint/tensors.hpp"
#include "checkpoint/vocabulary.hpp"
#include "hartonomous/quantization.hpp"

namespace hartonomous {

namespace {

using namespace checkpoint_detail;

// The general.file_type for matrices of this format: F32, F16 or BF16.
std::uint32_t file_type_of(format f) { return static_cast<std::uint32_t>(find_mixture(traits_of(f).name)->type); }

}  // namespace

checkpoint read_checkpoint(const std::vector<byte_source*>& files, std::string_view config_json,
                           std::string_view tokenizer_json, interrupt_checker& interrupts) {
  const checkpoint_config config = read_config(parse_json(config_json, "config", interrupts));
  std::vector<safetensors_file> headers;
  headers.reserve(files.size());
  for (byte_source* file : files) headers.push_back(read_safetensors_header(*file, interrupts));
  placed_tensors placed = place_tensors(config, headers);
  gguf_metadata metadata;
  write_hyperparameters(config.network, config.vocabulary, metadata);
  metadata.set_uint32("general.file_type", file_type_of(placed.tensors.front().storage));
  const json tokenizer = parse_json(tokenizer_json, "tokenizer", interrupts);
  if (tokenizer.is_null()) {
    metadata.set_string("tokenizer.ggml.model", "none");
  } else {
    describe_vocabulary(tokenizer, config, metadata, interrupts);
  }
  checkpoint out;
  out.file.metadata_json = metadata_to_json(metadata, interrupts);
  out.file.tensors = std::move(placed.tensors);
  out.data = std::make_unique<tensor_data>(files, std::move(placed.origins));
  return out;
}

}  // namespace hartonomous
