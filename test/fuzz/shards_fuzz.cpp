// libFuzzer: a checkpoint in several safetensors files. The input deals the tensors of a good one to the files, and
// changes bytes of these. What is accepted must be readable to the last byte; and unchanged files are accepted if each
// tensor is in one of them, with the bytes of the single file.
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "hartonomous/checkpoint.hpp"
#include "hartonomous/error.hpp"

#include "../unit/checkpoint_builder.hpp"
#include "codecs.hpp"

namespace {

using namespace hartonomous;
using namespace hartonomous::checkpoint_test;

const std::string& config() {
  static const std::string text = config_of("Qwen3ForCausalLM", R"(,"head_dim":4)");
  return text;
}

// Empty if they are refused.
std::string data_of(const std::vector<std::string>& files) {
  std::deque<memory_source> sources;  // whose elements stay where they are
  std::vector<byte_source*> pointers;
  for (const std::string& file : files) {
    sources.emplace_back(file.data(), file.size());
    pointers.push_back(&sources.back());
  }
  no_interrupts none;
  readable_model made;
  try {
    made = read_checkpoint(pointers, {config(), "null", "null", {}}, none);
  } catch (const error&) {
    return {};
  }
  std::string data(made.data->size(), '\0');
  made.data->read(0, data.data(), data.size());
  return data;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<tensor> tensors = tensors_of("BF16", true, true);
  static const std::string whole = data_of({file_of(tensors)});
  if (size < tensors.size() + 1) return 0;
  const std::size_t count = 1 + data[0] % 4;
  std::vector<std::vector<tensor>> dealt(count);
  bool once = true;
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    const std::uint8_t where = data[1 + t];
    const bool missing = where == 250;
    const bool twice = where == 251 && count > 1;  // in two files
    once = once && !missing && !twice;
    if (!missing) dealt[where % count].push_back(tensors[t]);
    if (twice) dealt[(where + 1) % count].push_back(tensors[t]);
  }
  std::vector<std::string> files;
  for (const std::vector<tensor>& part : dealt) {
    once = once && !part.empty();
    files.push_back(file_of(part));
  }
  if (once) fuzz::require(!whole.empty() && data_of(files) == whole);
  for (std::size_t i = 1 + tensors.size(); i + 3 < size; i += 4) {
    std::string& file = files[data[i] % files.size()];
    file[(data[i + 1] + 256u * data[i + 2]) % file.size()] = static_cast<char>(data[i + 3]);
  }
  data_of(files);
  return 0;
}
