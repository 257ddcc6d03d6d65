// Weights read from atoms or from the tensor cache of the session (model_tensors.hpp).
#include "pg/model/model_tensors.hpp"

#include "pg/store/layer_row.hpp"
#include "pg/base/memory.hpp"
#include "pg/store/tensor_cache.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "hartonomous/gguf.hpp"

namespace hartonomous::pg {
namespace {

// Rows from the cache.
class cached_rows final : public row_reader {
 public:
  cached_rows(const float* values, std::size_t columns) : at_(values), columns_(columns) {}
  const float* next(std::size_t count) override {
    const float* panel = at_;
    at_ += count * columns_;
    return panel;
  }

 private:
  const float* at_;
  std::size_t columns_;
};

// Rows that are added to the cache while they are read.
class caching_rows final : public row_reader {
 public:
  caching_rows(atom_reader& reader, const stored_tensor& tensor, const tensor_key& key, float* room)
      : rows_(reader, tensor, key.rows), key_(key), at_(room) {}
  const float* next(std::size_t count) override {
    float* panel = at_;
    rows_.read(count, panel);
    at_ += count * key_.layout.row_length;
    done_ += count;
    if (done_ == key_.rows.count) tensor_cache::complete(key_);
    return panel;
  }

 private:
  atom_rows rows_;
  tensor_key key_;
  float* at_;
  std::uint64_t done_ = 0;
};

// Rows that are not cached: only one panel of them is in memory.
class uncached_rows final : public row_reader {
 public:
  uncached_rows(atom_reader& reader, const stored_tensor& tensor, row_range rows)
      : rows_(reader, tensor, rows), columns_(tensor.layout.row_length) {}
  const float* next(std::size_t count) override {
    if (panel_.size() < count * columns_) panel_ = buffer<float>(count * columns_);
    rows_.read(count, panel_.data());
    return panel_.data();
  }

 private:
  atom_rows rows_;
  std::size_t columns_;
  buffer<float> panel_;
};

}  // namespace

model_tensors::model_tensors(atom_set atoms) : reader_(std::move(atoms)) {
  const std::optional<std::int32_t>& structure = reader_.atoms().structure();
  const std::string columns =
      "SELECT l.layer_id, l.layer_name, l.row_length, l.atom_size, l.parameter_count, l.tensor_shape, l.tensor_dtype "
      "FROM ";
  const query_result found = structure ? select((columns + "hartonomous_internal.stored_layers($1) l").c_str(),
                                                "model_structures", {{INT4OID, Int32GetDatum(*structure)}})
                                       : select((columns + "hartonomous.model_layers l WHERE l.model_id = $1").c_str(),
                                                "model_layers", {{INT4OID, Int32GetDatum(reader_.atoms().model())}});
  for (std::uint64_t i = 0; i < found.rows(); ++i) {
    const std::string name = found.text(i, 2);
    const auto weights = static_cast<std::uint64_t>(found.bigint(i, 5, 0, most_weights));
    const bool positioned = found.bigints(i, 6, 0).size() > 1;
    tensors_[name] = {{found.bigint(i, 1), name, layout_of_row(found, i, 3, 4, weights, name), positioned},
                      found.text(i, 7),
                      std::nullopt};
  }
}

std::vector<std::string> model_tensors::names() const {
  std::vector<std::string> names;
  for (const auto& [name, e] : tensors_) names.push_back(name);
  return names;
}

std::optional<matrix_shape> model_tensors::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return std::nullopt;
  if (unknown_type_named(found->second.dtype)) {
    throw error(sqlstate::feature_not_supported,
                "tensor \"" + name + "\" is of type " + found->second.dtype + ", which this version does not know",
                "Its blocks are stored and exported as they are.");
  }
  const atom_layout& layout = found->second.stored.layout;
  return matrix_shape{layout.rows, layout.row_length};
}

const stored_tensor& model_tensors::tensor(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) {
    throw error(sqlstate::undefined_object, "model " + std::to_string(model()) + " has no tensor \"" + name + "\"", {},
                "SELECT layer_name FROM hartonomous.model_layers WHERE model_id = " + std::to_string(model()) + ";");
  }
  return found->second.stored;
}

const atom_reader::fingerprint& model_tensors::state_of(entry& e) {
  if (!e.state) e.state = reader_.fingerprint_of(e.stored);
  return *e.state;
}

std::unique_ptr<row_reader> model_tensors::open(const std::string& name, row_range rows) {
  entry& e = tensors_.at(name);
  const atom_layout& layout = e.stored.layout;
  // Checked first, because computing the fingerprint takes a scan.
  if (!tensor_cache::may_hold(layout, rows.count)) return std::make_unique<uncached_rows>(reader_, e.stored, rows);
  const tensor_key key = {e.stored.layer, layout, rows, state_of(e)};
  if (const float* values = tensor_cache::find(key)) return std::make_unique<cached_rows>(values, layout.row_length);
  if (float* room = tensor_cache::reserve(key)) {
    return std::make_unique<caching_rows>(reader_, e.stored, key, room);
  }
  return std::make_unique<uncached_rows>(reader_, e.stored, rows);
}

void model_tensors::read_rows(const std::string& name, span<const std::uint32_t> rows, float* out) {
  entry& e = tensors_.at(name);
  const atom_layout& layout = e.stored.layout;
  const std::size_t columns = layout.row_length;
  const float* values = tensor_cache::may_hold(layout, layout.rows)
                            ? tensor_cache::find({e.stored.layer, layout, e.stored.all_rows(), state_of(e)})
                            : nullptr;
  if (values != nullptr) {
    for (std::size_t i = 0; i < rows.size(); ++i) std::copy_n(values + rows[i] * columns, columns, out + i * columns);
    return;
  }
  reader_.read_rows(e.stored, rows, out);
}

}  // namespace hartonomous::pg
