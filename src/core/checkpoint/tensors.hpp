// The tensors of a checkpoint in GGUF's layout.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/config.hpp"
#include "checkpoint/numbers.hpp"
#include "hartonomous/bytes.hpp"
#include "hartonomous/format.hpp"
#include "hartonomous/model_file.hpp"
#include "hartonomous/safetensors.hpp"

namespace hartonomous::checkpoint_detail {

// The factors by which a quantized matrix is multiplied: a tensor of its own with one number for each block of the
// matrix, row by row. The last block of a row or column may be cut.
struct scale_grid {
  std::size_t file = 0;
  std::uint64_t offset = 0;  // in that file
  number_type stored = number_type::f32;
  std::uint64_t rows = 0, columns = 0;              // of the grid
  std::uint64_t block_rows = 0, block_columns = 0;  // weights
};

// Where the bytes of a tensor of the GGUF model, or of one expert in it, come from.
struct tensor_origin {
  std::uint64_t begin = 0, bytes = 0;  // in the model's data
  std::size_t file = 0;                // index of the checkpoint's file
  std::uint64_t offset = 0;            // in that file
  std::uint64_t columns = 0;           // of a row; 1 for vectors
  number_type stored = number_type::f32;
  format carried = format::F32;  // in the model
  std::uint32_t head_width = 0;  // if not 0, the rows of each head of this width are reordered
  std::optional<scale_grid> scales;
  std::string made;  // if not empty, the bytes of a tensor that is not in the files
};

// The data of the model: the bytes of all tensors, one after the other, read from the files on demand.
class tensor_data final : public byte_source {
 public:
  tensor_data(std::vector<byte_source*> files, std::vector<tensor_origin> origins);
  std::uint64_t size() const override { return size_; }
  void read(std::uint64_t offset, void* to, std::size_t count) override;

 private:
  void read_from(const tensor_origin& origin, std::uint64_t at, char* to, std::size_t count);
  void read_elements(const tensor_origin& origin, std::uint64_t row, std::uint64_t column, std::size_t count);
  const std::vector<float>& scales_of(const tensor_origin& origin);

  std::vector<byte_source*> files_;
  std::vector<tensor_origin> origins_;  // by `begin`
  std::uint64_t size_ = 0;
  const tensor_origin* scaled_ = nullptr;  // whose factors are in memory
  std::vector<float> scales_;
  std::string stored_, carried_;  // the elements that are being converted
};

struct placed_tensors {
  std::vector<model_tensor> tensors;
  std::vector<tensor_origin> origins;  // in the order of the data
};

// Assigns every tensor of the files to its place in the model. Errors: 22P03 if a tensor is missing, occurs twice or
// has another shape than the config implies; 0A000 if one does not belong to the architecture or is not floating-point.
placed_tensors place_tensors(const checkpoint_config& config, const std::vector<safetensors_file>& files);

}  // namespace hartonomous::checkpoint_detail
