// The list of forms (tensor_forms.hpp).
#include "pg/store/tensor_forms.hpp"

#include "pg/store/stored_factors.hpp"

#include <cstdint>

namespace hartonomous::pg {
namespace {

struct known_form {
  const char* table;                                                // has model_id, revision_id, layer_id
  std::unique_ptr<tensor_part> (*open)(const tensor_place& place);  // nullptr when the tensor has none
};

constexpr known_form forms[] = {{"svd_compressed_layers", open_factors}};

}  // namespace

forms_beside_atoms::forms_beside_atoms(std::int32_t model, std::int32_t base_revision)
    : model_(model), base_revision_(base_revision) {
  for (const known_form& form : forms) {
    const std::string query = std::string("SELECT f.layer_id FROM hartonomous.") + form.table +
                              " f WHERE f.model_id = $1 AND f.revision_id = $2";
    const query_result found =
        select(query.c_str(), form.table, {{INT4OID, Int32GetDatum(model_)}, {INT4OID, Int32GetDatum(base_revision_)}});
    for (std::uint64_t i = 0; i < found.rows(); ++i) layers_.insert(found.bigint(i, 1));
  }
}

std::vector<std::unique_ptr<tensor_part>> forms_beside_atoms::open(std::int64_t layer, const std::string& tensor,
                                                                   const atom_layout& layout) const {
  std::vector<std::unique_ptr<tensor_part>> parts;
  if (!has(layer)) return parts;
  for (const known_form& form : forms) {
    if (std::unique_ptr<tensor_part> part = form.open({model_, base_revision_, layer, tensor, layout})) {
      parts.push_back(std::move(part));
    }
  }
  return parts;
}

std::string forms_beside_atoms::versions() const {
  std::string query;
  for (const known_form& form : forms) {
    query += std::string(query.empty() ? "" : " UNION ALL ") +
             "SELECT f.tableoid, f.ctid, f.xmin, f.cmin FROM hartonomous." + form.table +
             " f WHERE f.model_id = $1 AND f.layer_id = $2 AND f.revision_id = " + std::to_string(base_revision_);
  }
  return query;
}

}  // namespace hartonomous::pg
