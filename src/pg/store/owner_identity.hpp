// The identity of the store's owner, for the time in which the tables of the store are written.
//
// A write to a table executes what its owner has put there: triggers, defaults, CHECK constraints, generated columns,
// index expressions, policies. With the rights of the caller that would be a trap for superusers and for members of
// the owner. So it is executed as PostgreSQL's maintenance commands (REINDEX, REFRESH MATERIALIZED VIEW) execute such
// code: as the owner of the table, in a security-restricted operation, from which nobody gets back to the identity of
// the caller, and whose settings end with it.
#pragma once

#include "pg/base/boundary.hpp"

namespace hartonomous::pg {

// Those who may act as the owner are its members, superusers and operators: who has the right to UPDATE
// hartonomous.models, unless its row-level security applies to them, or the owner is a superuser. For all others this
// changes nothing. If the scope is left by an error, the abort of the (sub)transaction ends the identity, too.
class owner_identity {
 public:
  owner_identity();
  owner_identity(const owner_identity&) = delete;
  owner_identity& operator=(const owner_identity&) = delete;
  ~owner_identity();

 private:
  int exceptions_;
  bool changed_ = false;
  Oid caller_ = InvalidOid;
  int context_ = 0;
  int settings_ = 0;  // the nesting level of settings
};

}  // namespace hartonomous::pg
