// The weights of a model that a run is quantizing: those that the run has quantized in sequence, or outside the blocks,
// come from its partition, the others from the live one. These are what the blocks of the sequence see: the first
// ones, because they come before it. Factored tensors count as they are.
#pragma once

#include "pg/model/model_tensors.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace hartonomous::pg {

// Needs an spi_session.
class rewritten_tensors final : public tensor_source {
 public:
  rewritten_tensors(model_tensors& live, std::int32_t revision, Oid partition);

  std::vector<std::string> names() const override { return live_.names(); }
  std::optional<matrix_shape> find(const std::string& name) const override { return live_.find(name); }
  std::unique_ptr<row_reader> open(const std::string& name, row_range rows) override;
  void read_rows(const std::string& name, span<const std::uint32_t> rows, float* out) override;

 private:
  // All rows of a written tensor; nullptr if it comes from the live partition. The last one is kept.
  std::shared_ptr<const std::vector<float>> written(const std::string& name);

  model_tensors& live_;
  Oid partition_;
  std::map<std::string, std::int64_t> layers_;  // those written
  std::string last_;
  std::shared_ptr<const std::vector<float>> weights_;
};

}  // namespace hartonomous::pg
