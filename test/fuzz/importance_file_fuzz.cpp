// libFuzzer: any bytes as an importance matrix. What is accepted must survive being written in both formats.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "hartonomous/error.hpp"
#include "hartonomous/importance_file.hpp"

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

std::vector<float> sums_of(byte_source& source, const importance_entry& entry) {
  no_interrupts interrupts;
  std::vector<float> sums(entry.sums);
  read_importance_sums(source, entry, sums, interrupts);
  return sums;
}

// The file in another format, from its own sums.
std::string rewrite(byte_source& source, importance_file file, importance_format format) {
  file.format = format;
  if (file.chunk_size == 0) file.chunk_size = 1;
  string_sink sink;
  importance_writer writer(sink, file);
  writer.write_header();
  for (const importance_entry& entry : writer.entries()) writer.write_sums(sums_of(source, entry));
  writer.write_end();
  require(sink.bytes.size() == writer.file_size());
  return sink.bytes;
}

void check_gguf(byte_source& source, const importance_file& file) {
  const std::string bytes = rewrite(source, file, importance_format::gguf);
  memory_source again_source(bytes.data(), bytes.size());
  no_interrupts interrupts;
  const importance_file again = read_importance_file(again_source, interrupts);
  require(again.datasets == file.datasets && again.entries.size() == file.entries.size());
  for (std::size_t i = 0; i < file.entries.size(); ++i) {
    require(again.entries[i].name == file.entries[i].name);
    require(sums_of(again_source, again.entries[i]) == sums_of(source, file.entries[i]));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  memory_source source(bytes, size);
  importance_file file;
  try {
    no_interrupts interrupts;
    file = read_importance_file(source, interrupts);
    for (const importance_entry& entry : file.entries) {
      std::vector<float> means = sums_of(source, entry);
      mean_squares(means, entry.counts, means);
      for (const float mean : means) require(std::isfinite(mean) && mean >= 0);
    }
  } catch (const error&) {
    return 0;
  }
  try {
    check_gguf(source, file);
    rewrite(source, file, importance_format::legacy);
  } catch (const error& e) {
    // Sizes of chunks, counts and names may exceed what the other format can hold; nothing else may fail.
    const std::string state = e.state();
    require(state == sqlstate::invalid_parameter_value);
  }
  return 0;
}
