// libFuzzer: the three files of a Hugging Face checkpoint, one of them any bytes. What is accepted must be readable to
// the last byte, must be metadata that GGUF takes, and its vocabulary must make a tokenizer or an error.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "hartonomous/checkpoint.hpp"
#include "hartonomous/error.hpp"
#include "hartonomous/gguf.hpp"
#include "hartonomous/tokenizer.hpp"

#include "../unit/checkpoint_builder.hpp"

namespace {

using namespace hartonomous;

void try_reading(const std::string& file, const std::string& config, const std::string& tokenizer) {
  no_interrupts interrupts;
  memory_source source(file.data(), file.size());
  readable_model made;
  try {
    made = read_checkpoint({&source}, {config, tokenizer, "null", {}}, interrupts);
  } catch (const error&) {
    return;
  }
  std::string data(made.data->size(), '\0');
  made.data->read(0, data.data(), data.size());
  gguf_metadata metadata;
  metadata_from_json(made.file.metadata_json, metadata);  // may not fail
  try {
    tokenizer::create(metadata, interrupts)->encode("ab a\n<s>", true, true, interrupts);
  } catch (const error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace checkpoint_test;
  if (size == 0) return 0;
  static const std::string file = file_of(tensors_of("BF16", true, true));
  static const std::string config = config_of("Qwen3ForCausalLM", R"(,"head_dim":4)");
  std::string const input(reinterpret_cast<const char*>(bytes) + 1, size - 1);
  switch (bytes[0] % 4) {
    case 0:
      try_reading(file, input, byte_level);
      break;
    case 1:
      try_reading(input, config, sentence_piece);
      break;
    default:
      try_reading(file, config, input);
  }
  return 0;
}
