// Queries for the atoms of a revision (atom_set.hpp). If the partition does not contain the revision at the moment, the
// query combines the partition and its deltas (sql/internal/revisions.sql); no atoms are moved.
#include "pg/store/atom_set.hpp"

#include "pg/store/atoms_partition.hpp"

#include <cstdint>

extern "C" {
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_am.h"
#include "utils/syscache.h"
}

namespace hartonomous::pg {
namespace {

const char live[] = "hartonomous.tensor_atoms a WHERE a.model_id = $1 AND a.layer_id = $2";

std::string kept(std::int32_t revision) {
  return "hartonomous.tensor_atoms_backup a WHERE a.revision_id = " + std::to_string(revision) +
         " AND a.model_id = $1 AND a.layer_id = $2";
}

std::string archived(std::int32_t revision) {
  return "hartonomous.archived_tensor_atoms a WHERE a.revision_id = " + std::to_string(revision) +
         " AND a.model_id = $1 AND a.layer_id = $2";
}

std::string list_of(const std::vector<std::int32_t>& revisions) {
  std::string list;
  for (std::int32_t revision : revisions) list += (list.empty() ? "" : ", ") + std::to_string(revision);
  return list;
}

// A condition: the atom is in none of the given deltas.
std::string not_in(const std::vector<std::int32_t>& deltas, bool archived) {
  if (deltas.empty()) return {};
  return std::string(" AND NOT EXISTS (SELECT FROM hartonomous.") +
         (archived ? "archived_tensor_atoms d WHERE d.model_id = $1 AND" : "tensor_atoms_backup d WHERE") +
         " d.revision_id IN (" + list_of(deltas) +
         ") AND d.layer_id = a.layer_id AND d.atom_sequence = a.atom_sequence)";
}

// Blocks sessions that drop backups, until the end of the transaction.
void lock_backups() {
  call([] {
    const Oid parent = get_relname_relid("tensor_atoms_backup", get_namespace_oid("hartonomous", true));
    if (OidIsValid(parent)) LockRelationOid(parent, AccessShareLock);
  });
}

// The file of a relation that is a partition of `parent`; InvalidOid if it is not.
Oid file_of_partition(Oid relation, Oid parent) {
  HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
  if (!HeapTupleIsValid(tuple)) return InvalidOid;
  const auto* row = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple));
  const Oid file =
      row->relispartition && get_partition_parent(relation, false) == parent ? row->relfilenode : InvalidOid;
  ReleaseSysCache(tuple);
  return file;
}

Oid access_method_of(Oid relation) {
  HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
  if (!HeapTupleIsValid(tuple)) return InvalidOid;
  const Oid method = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relam;
  ReleaseSysCache(tuple);
  return method;
}

}  // namespace

std::string atom_set::select(const std::string& columns, bool positioned, const std::string& condition) const {
  std::string query;
  for (const std::string& part : parts_) {
    query += (query.empty() ? "SELECT " : " UNION ALL SELECT ") + columns + " FROM " + part + condition;
    if (positioned) query += in_region_;
  }
  return query;
}

std::string atom_set::select_versions(bool positioned) const {
  const char columns[] = "a.tableoid, a.ctid, a.xmin, a.cmin";
  if (archived_.empty() && sources_.size() == 1 && !sources_.front().is_heap) {
    // Rows of other access methods (columnar) have no system columns, but cannot be changed either.
    const std::string table = std::to_string(sources_.front().partition);
    return select("'" + table + "'::oid AS tableoid, '(0,0)'::tid AS ctid, '0'::xid AS xmin, '0'::cid AS cmin",
                  positioned);
  }
  if (archived_.empty()) return select(columns, positioned);
  // Versions are those of the chunks, whatever the region.
  return std::string("SELECT ") + columns + " FROM hartonomous.tensor_atoms_archive a WHERE a.revision_id IN (" +
         list_of(archived_) + ") AND a.model_id = $1 AND a.layer_id = $2";
}

// Raises 40001 if a partition known to the active snapshot is gone, because its atoms would be taken for missing.
void atom_set::add_source(std::int32_t revision, const char* parent) {
  const source found = call([&] {
    const Oid schema = get_namespace_oid("hartonomous", true);
    source s = {atoms_partition(model_, revision), get_relname_relid(parent, schema), InvalidOid, true};
    if (OidIsValid(s.partition)) s.file = file_of_partition(s.partition, s.parent);
    if (OidIsValid(s.file)) s.is_heap = access_method_of(s.partition) == HEAP_TABLE_AM_OID;
    return s;
  });
  if (!OidIsValid(found.file)) {
    throw error(sqlstate::serialization_failure,
                "revision " + std::to_string(revision) + " was dropped after this transaction's snapshot", {},
                "Try again in a new transaction.");
  }
  sources_.push_back(found);
}

void atom_set::require_unchanged() const {
  for (const source& s : sources_) {
    if (call([&] { return file_of_partition(s.partition, s.parent); }) == s.file) continue;
    throw error(sqlstate::serialization_failure, "model " + std::to_string(model_) + " was rewritten while it was read",
                {}, "Try again in a new transaction.");
  }
}

atom_set live_atoms(std::int32_t model) {
  const query_result found = select(
      "SELECT r.base_revision_id, r.state OPERATOR(pg_catalog.=) 'archived', r.revision_id FROM hartonomous.models m "
      "JOIN hartonomous.model_revisions r ON r.revision_id = m.current_revision WHERE m.model_id = $1",
      "model_revisions", {{INT4OID, Int32GetDatum(model)}});
  if (found.rows() == 1 && found.boolean(0, 2)) return atoms_of_revision(model, found.integer(0, 3));
  atom_set atoms;
  atoms.model_ = model;
  atoms.base_revision_ = found.rows() == 1 ? found.integer(0, 1) : 0;
  atoms.parts_.emplace_back(live);
  if (atoms.base_revision_ != 0) atoms.add_source(atoms.base_revision_, "tensor_atoms");
  return atoms;
}

atom_set atoms_of_revision(std::int32_t model, std::int32_t revision) {
  const query_result found = select(
      "SELECT r.base_revision_id, r.base_is_live, r.put_back, r.taken_out, r.structure_id, r.is_archived "
      "FROM hartonomous_internal.revision_atoms($1, $2) r",
      "model_revisions", {{INT4OID, Int32GetDatum(model)}, {INT4OID, Int32GetDatum(revision)}});
  if (found.rows() != 1) throw error(sqlstate::object_not_in_prerequisite_state, "the revision is not available");
  const bool base_is_live = found.boolean(0, 2);
  const std::vector<std::int32_t> put_back = found.integers(0, 3);
  // A delta that is put back later replaces the atoms of earlier ones; deltas are taken out last.
  std::vector<std::int32_t> hidden_by = found.integers(0, 4);
  atom_set atoms;
  atoms.model_ = model;
  atoms.base_revision_ = found.integer(0, 1);
  if (found.optional(0, 5, INT4OID)) atoms.structure_ = found.integer(0, 5);
  // Rows of the archive are seen or not, as by any other query; there is no partition that could be gone.
  const bool is_archived = found.boolean(0, 6);
  if (is_archived) {
    atoms.archived_ = put_back;
    atoms.archived_.insert(atoms.archived_.end(), hidden_by.begin(), hidden_by.end());
    atoms.archived_.push_back(atoms.base_revision_);
  } else {
    lock_backups();
    atoms.add_source(atoms.base_revision_, base_is_live ? "tensor_atoms" : "tensor_atoms_backup");
    for (std::int32_t delta : put_back) atoms.add_source(delta, "tensor_atoms_backup");
    for (std::int32_t delta : hidden_by) atoms.add_source(delta, "tensor_atoms_backup");
  }
  for (auto delta = put_back.rbegin(); delta != put_back.rend(); ++delta) {
    atoms.parts_.push_back((is_archived ? archived(*delta) : kept(*delta)) + not_in(hidden_by, is_archived));
    hidden_by.push_back(*delta);
  }
  const std::string base = is_archived    ? archived(atoms.base_revision_)
                           : base_is_live ? std::string(live)
                                          : kept(atoms.base_revision_);
  atoms.parts_.push_back(base + not_in(hidden_by, is_archived));
  return atoms;
}

atom_set atoms_in_region(atom_set atoms, const region_argument& region) {
  atoms.region_ = region;
  atoms.in_region_ = " AND hartonomous.in_geometry(a.weights_geometry, a.quantized_position, $3)";
  return atoms;
}

}  // namespace hartonomous::pg
