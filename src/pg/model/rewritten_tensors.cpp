// Reading tensors from a partition without indexes (rewritten_tensors.hpp).
#include "pg/model/rewritten_tensors.hpp"

#include "pg/base/memory.hpp"
#include "pg/store/atom_matrix.hpp"

#include <algorithm>
#include <utility>

namespace hartonomous::pg {
namespace {

class memory_rows final : public row_reader {
 public:
  memory_rows(std::shared_ptr<const std::vector<float>> weights, std::size_t first, std::size_t columns)
      : weights_(std::move(weights)), at_(weights_->data() + first * columns), columns_(columns) {}
  const float* next(std::size_t count) override {
    const float* rows = at_;
    at_ += count * columns_;
    return rows;
  }

 private:
  std::shared_ptr<const std::vector<float>> weights_;
  const float* at_;
  std::size_t columns_;
};

}  // namespace

rewritten_tensors::rewritten_tensors(model_tensors& live, std::int32_t revision, Oid partition)
    : live_(live), partition_(partition) {
  const query_result found = execute(
      "SELECT l.layer_id, l.layer_name FROM hartonomous.compression_runs r "
      "JOIN hartonomous.compression_steps s ON s.run_id OPERATOR(pg_catalog.=) r.run_id "
      "JOIN hartonomous.model_layers l ON l.layer_id OPERATOR(pg_catalog.=) s.layer_id "
      "WHERE r.revision_id OPERATOR(pg_catalog.=) $1 AND l.model_id OPERATOR(pg_catalog.=) $2 "
      "AND s.state OPERATOR(pg_catalog.=) 'done' AND s.operation OPERATOR(pg_catalog.=) 'quantize' "
      "AND (l.layer_idx OPERATOR(pg_catalog.<) 0 OR s.arguments OPERATOR(pg_catalog.@>) '{\"sequential\": true}') "
      "AND NOT EXISTS (SELECT FROM hartonomous.svd_compressed_layers f "
      "WHERE f.revision_id OPERATOR(pg_catalog.=) $1 AND f.layer_id OPERATOR(pg_catalog.=) l.layer_id)",
      "compression_steps", {{INT4OID, Int32GetDatum(revision)}, {INT4OID, Int32GetDatum(live.model())}});
  for (std::uint64_t i = 0; i < found.rows(); ++i) layers_[found.text(i, 2)] = found.bigint(i, 1);
}

std::shared_ptr<const std::vector<float>> rewritten_tensors::written(const std::string& name) {
  const auto found = layers_.find(name);
  if (found == layers_.end()) return nullptr;
  if (last_ == name) return weights_;
  last_.clear();
  weights_.reset();
  const atom_layout& layout = live_.tensor(name).layout;
  require_work_memory(layout.rows * layout.row_length * sizeof(float), "reading a tensor that has been rewritten");
  weights_ = std::make_shared<const std::vector<float>>(
      read_matrix({partition_, live_.model(), found->second, name, layout}, {0, layout.rows}, atoms_seen::until_now));
  last_ = name;
  return weights_;
}

std::unique_ptr<row_reader> rewritten_tensors::open(const std::string& name, row_range rows) {
  std::shared_ptr<const std::vector<float>> weights = written(name);
  if (weights == nullptr) return live_.open(name, rows);
  return std::make_unique<memory_rows>(std::move(weights), rows.first, live_.find(name)->columns);
}

void rewritten_tensors::read_rows(const std::string& name, span<const std::uint32_t> rows, float* out) {
  const std::shared_ptr<const std::vector<float>> weights = written(name);
  if (weights == nullptr) return live_.read_rows(name, rows, out);
  const std::size_t columns = live_.find(name)->columns;
  for (const std::uint32_t row : rows) out = std::copy_n(weights->data() + row * columns, columns, out);
}

}  // namespace hartonomous::pg
