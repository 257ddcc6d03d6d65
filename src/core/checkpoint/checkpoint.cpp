// A checkpoint as a GGUF model (hartonomous/checkpoint.hpp).
#include "hartonomous/checkpoint.hpp"

#include <cstdint>

#include "checkpoint/config.hpp"
#include "checkpoint/chat.hpp"
#include "checkpoint/tensors.hpp"
#include "checkpoint/vocabulary.hpp"
#include "hartonomous/quantization.hpp"
#include "network/architecture.hpp"
#include "model_file/pieces.hpp"

namespace hartonomous {

namespace {

using namespace checkpoint_detail;

// The general.file_type for matrices of this format: F32, F16 or BF16.
std::uint32_t file_type_of(format f) { return static_cast<std::uint32_t>(find_mixture(traits_of(f).name)->type); }

// The keys that llama.cpp's converter of adapters writes.
readable_model adapter_of(const checkpoint_config& config, placed_tensors placed,
                          const std::vector<byte_source*>& files, interrupt_checker& interrupts) {
  gguf_metadata metadata;
  metadata.set_string("general.architecture", config.network.architecture->name);
  metadata.set_string("general.type", "adapter");
  metadata.set_string("adapter.type", "lora");
  metadata.set_float("adapter.lora.alpha", *config.adapter_alpha);
  metadata.set_uint32("general.file_type", file_type_of(placed.tensors.front().storage));
  readable_model out;
  out.file.metadata_json = metadata_to_json(metadata, interrupts);
  out.file.tensors = std::move(placed.tensors);
  out.data = std::make_unique<tensor_data>(files, std::move(placed.origins));
  return out;
}

}  // namespace

readable_model read_checkpoint(const std::vector<byte_source*>& files, const checkpoint_texts& texts,
                               interrupt_checker& interrupts) {
  const json config_value = parse_json(texts.config, "config", interrupts);
  const json tokenizer = parse_json(texts.tokenizer, "tokenizer", interrupts);
  const json tokenizer_config = parse_json(texts.tokenizer_config, "tokenizer_config", interrupts);
  const checkpoint_config config = read_config(config_value);
  std::vector<safetensors_file> headers;
  headers.reserve(files.size());
  model_file_detail::each_file(
      files.size(), [&](std::size_t i) { headers.push_back(read_safetensors_header(*files[i], interrupts)); });
  placed_tensors placed = place_tensors(config, headers);
  gguf_metadata metadata;
  if (config.adapter_alpha) return adapter_of(config, std::move(placed), files, interrupts);
  write_hyperparameters(config.network, config.vocabulary, metadata);
  metadata.set_uint32("general.file_type", file_type_of(placed.tensors.front().storage));
  describe_name(config_value, tokenizer_config, metadata);
  if (tokenizer.is_null()) {
    if (!texts.pre_tokenizer.empty()) refuse("a pre-tokenizer requires a tokenizer");
    metadata.set_string("tokenizer.ggml.model", "none");
  } else {
    describe_vocabulary({tokenizer, tokenizer_config, texts.pre_tokenizer}, config, metadata, interrupts);
  }
  if (!tokenizer_config.is_null()) describe_chat_templates(tokenizer_config, metadata);
  readable_model out;
  out.file.metadata_json = metadata_to_json(metadata, interrupts);
  out.file.tensors = std::move(placed.tensors);
  out.data = std::make_unique<tensor_data>(files, std::move(placed.origins));
  out.unknown_members = config.unknown_members;
  return out;
}

}  // namespace hartonomous
