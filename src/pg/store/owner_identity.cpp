// The identity of the store's owner (owner_identity.hpp).
#include "pg/store/owner_identity.hpp"

#include <exception>

extern "C" {
#include "catalog/namespace.h"
#include "utils/rls.h"
#include "utils/syscache.h"
}

namespace hartonomous::pg {
namespace {

// InvalidOid if there is no store.
Oid owner_of(Oid models) {
  HeapTuple row = SearchSysCache1(RELOID, ObjectIdGetDatum(models));
  if (!HeapTupleIsValid(row)) return InvalidOid;
  const Oid owner = reinterpret_cast<Form_pg_class>(GETSTRUCT(row))->relowner;
  ReleaseSysCache(row);
  return owner;
}

// An operator sees all models and does to them what stages do, with the owner's rights. Those of a superuser are never
// lent; and who is to see some of the models only, must not act for an owner who sees all.
bool is_operator(Oid role, Oid models, Oid owner) {
  return pg_class_aclcheck(models, role, ACL_UPDATE) == ACLCHECK_OK && !superuser_arg(owner) &&
         check_enable_rls(models, role, true) != RLS_ENABLED;
}

// The owner of the store if the role may act as it, and is not the owner itself.
Oid owner_for(Oid role) {
  const Oid schema = get_namespace_oid("hartonomous", true);
  const Oid models = OidIsValid(schema) ? get_relname_relid("models", schema) : InvalidOid;
  const Oid owner = OidIsValid(models) ? owner_of(models) : InvalidOid;
  if (!OidIsValid(owner) || owner == role) return InvalidOid;
  return has_privs_of_role(role, owner) || is_operator(role, models, owner) ? owner : InvalidOid;
}

}  // namespace

owner_identity::owner_identity() : exceptions_(std::uncaught_exceptions()) {
  GetUserIdAndSecContext(&caller_, &context_);
  const Oid owner = call([&] { return owner_for(caller_); });
  if (!OidIsValid(owner)) return;
  settings_ = call([] { return NewGUCNestLevel(); });
  SetUserIdAndSecContext(owner, context_ | SECURITY_RESTRICTED_OPERATION);
  changed_ = true;
}

owner_identity::~owner_identity() {
  if (!changed_ || std::uncaught_exceptions() != exceptions_) return;
  AtEOXact_GUC(false, settings_);
  SetUserIdAndSecContext(caller_, context_);
}

}  // namespace hartonomous::pg
