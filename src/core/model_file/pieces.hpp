// Models in several files: one source of bytes from all, and GGUF and safetensors headers put together.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hartonomous/bytes.hpp"
#include "hartonomous/error.hpp"
#include "hartonomous/gguf.hpp"
#include "hartonomous/safetensors.hpp"

namespace hartonomous::model_file_detail {

// The bytes of several files, one after the other. The files must outlive it.
class joined_source final : public byte_source {
 public:
  explicit joined_source(const std::vector<byte_source*>& files);
  std::uint64_t size() const override { return begins_.back(); }
  void read(std::uint64_t offset, void* to, std::size_t count) override;
  std::uint64_t begin_of(std::size_t file) const { return begins_[file]; }

 private:
  std::vector<byte_source*> files_;
  std::vector<std::uint64_t> begins_;  // of each file, and the end of the last
};

// Calls read(i) for each of `count` files. If there are several, an error says which file it is in.
template <class F>
void each_file(std::size_t count, F read) {
  for (std::size_t i = 0; i < count; ++i) {
    try {
      read(i);
    } catch (const error& e) {
      if (count == 1) throw;
      throw error(e.state(), "file " + std::to_string(i + 1) + " of " + std::to_string(count) + ": " + e.what(),
                  e.detail(), e.hint(), e.thrown());
    }
  }
}

// The headers of the parts of a split model, in any order, as one: the metadata of the first part without the keys that
// number the parts, and the tensors of all in the order of the parts, with their offsets in the joined source. Errors:
// 22P03 if the files are not exactly the parts of one model.
gguf_file join_gguf(std::vector<gguf_file> headers, const joined_source& data);

// The headers of the files of a checkpoint as one, in the given order: the tensors of all, with their offsets in the
// joined source, and the metadata of all, of which the first of a name counts. Errors: 22P03 if a tensor is in two
// files; 54000 if the header is too large.
safetensors_file join_safetensors(std::vector<safetensors_file> headers, const joined_source& data);

}  // namespace hartonomous::model_file_detail
