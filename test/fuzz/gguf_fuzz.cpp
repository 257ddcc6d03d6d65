// libFuzzer: any bytes as a GGUF file. What is accepted must survive JSON and being written again.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "hartonomous/error.hpp"
#include "hartonomous/gguf.hpp"

namespace {

using namespace hartonomous;

class string_sink final : public byte_sink {
 public:
  void write(const void* from, std::size_t count) override { bytes.append(static_cast<const char*>(from), count); }
  std::string bytes;
};

void require(bool condition) {
  if (!condition) std::abort();
}

void check_json(const gguf_file& file) {
  gguf_metadata again;
  metadata_from_json(metadata_to_json(file), again);
  require(again.version == file.version && again.alignment == file.alignment && again.kv == file.kv);
}

std::string rewrite(const gguf_file& file, const char* data, gguf_writer& writer, string_sink& sink) {
  writer.write_header();
  for (std::size_t i = 0; i < file.tensors.size(); ++i) {
    writer.begin_tensor(i);
    writer.write(data + file.tensors[i].offset, file.tensors[i].bytes);
    writer.end_tensor();
  }
  require(writer.complete());
  return sink.bytes;
}

void check_rewrite(const gguf_file& file, const char* data, std::size_t size) {
  std::vector<gguf_tensor_spec> specs;
  for (const auto& tensor : file.tensors) {
    specs.push_back({tensor.name, tensor.dims, tensor.type, is_unknown_type(tensor.type) ? tensor.bytes : 0});
  }
  string_sink sink;
  gguf_writer writer(sink, file, specs);
  // A huge alignment makes a huge file of a small one.
  if (writer.file_size() > (std::uint64_t{1} << 22)) return;
  std::string const bytes = rewrite(file, data, writer, sink);
  require(bytes.size() == writer.file_size());
  if (file.canonical) require(bytes == std::string(data, size));
  memory_source source(bytes.data(), bytes.size());
  no_interrupts interrupts;
  const gguf_file again = read_gguf_header(source, interrupts);
  require(again.canonical && again.kv == file.kv && again.tensors.size() == file.tensors.size());
  for (std::size_t i = 0; i < file.tensors.size(); ++i) {
    require(again.tensors[i].offset == writer.tensors()[i].offset && again.tensors[i].dims == file.tensors[i].dims);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const auto data = reinterpret_cast<const char*>(bytes);
  try {
    memory_source source(data, size);
    no_interrupts interrupts;
    const gguf_file file = read_gguf_header(source, interrupts);
    try {
      check_json(file);
      check_rewrite(file, data, size);
    } catch (const error&) {
      std::abort();  // what was read must be writable
    }
  } catch (const error&) {
  }
  // The metadata's own JSON is input too: a user may have changed it.
  try {
    gguf_file file;
    metadata_from_json({data, size}, file);
    check_json(file);
  } catch (const error&) {
  }
  return 0;
}
