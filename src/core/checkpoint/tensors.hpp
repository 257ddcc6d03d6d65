// The tensors of a checkpoint as GGUF has them.
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

// Where the bytes of one tensor of the GGUF model, or of one expert in it, come from.
struct tensor_origin {
  std::uint64_t begin = 0, bytes = 0;  // in the model's data
  std::size_t file = 0;                // which of the checkpoint's
  std::uint64_t offset = 0;            // in that
  std::uint64_t unit = 0;              // bytes of a row, of an element of a vector; of the model
  format stored = format::F32;         // of an element in the file; vectors become F32
  bool widened = false;                // to F32, element by element
  std::uint32_t head_width = 0;        // not 0: the rows of each head are in another order
  std::string made;                    // not empty: the bytes themselves, of a tensor the file does not have
};

// The data of the model: every tensor's bytes, one after the other, read from the files as they are asked for.
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

// Gives every tensor of the files its place in the model. Errors: 22P03 one is missing or of another shape than the
// config says, one is there twice,
// 0A000 one that is none of the architecture's, or is not of floats.
placed_tensors place_tensors(const checkpoint_config& config, const std::vector<safetensors_file>& files);

}  // namespace hartonomous::checkpoint_detail
