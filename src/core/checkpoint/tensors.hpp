// The tensors of a checkpoint in GGUF's layout.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/config.hpp"
#include "hartonomous/bytes.hpp"
#include "hartonomous/format.hpp"
#include "hartonomous/model_file.hpp"
#include "hartonomous/safetensors.hpp"

namespace hartonomous::checkpoint_detail {

// Where the bytes of a tensor of the GGUF model, or of one expert in it, come from.
struct tensor_origin {
  std::uint64_t begin = 0, bytes = 0;  // in the model's data
  std::size_t file = 0;                // index of the checkpoint's file
  std::uint64_t offset = 0;            // in that file
  std::uint64_t unit = 0;              // in the model: bytes of a row, or of an element of a vector
  format stored = format::F32;         // format of an element in the file; vectors become F32
  bool widened = false;                // each element is converted to F32
  std::uint32_t head_width = 0;        // if not 0, the rows of each head of this width are reordered
  std::string made;                    // if not empty, the bytes of a tensor that is not in the files
};

// The data of the model: the bytes of all tensors, one after the other, read from the files on demand.
class tensor_data final : public byte_source {
 public:
  tensor_data(std::vector<byte_source*> files, std::vector<tensor_origin> origins);
  std::uint64_t size() const override { return size_; }
  void read(std::uint64_t offset, void* to, std::size_t count) override;

 private:
  void read_from(const tensor_origin& origin, std::uint64_t at, char* to, std::size_t count);

  std::vector<byte_source*> files_;
  std::vector<tensor_origin> origins_;  // by `begin`
  std::uint64_t size_ = 0;
};

struct placed_tensors {
  std::vector<model_tensor> tensors;
  std::vector<tensor_origin> origins;  // in the order of the data
};

// Assigns every tensor of the files to its place in the model. Errors: 22P03 if a tensor is missing, occurs twice or
// has another shape than the config implies; 0A000 if one does not belong to the architecture or is not floating-point.
placed_tensors place_tensors(const checkpoint_config& config, const std::vector<safetensors_file>& files);

}  // namespace hartonomous::checkpoint_detail
