// hilbert_index (sql/25-hilbert.sql).
#include "pg/boundary.hpp"

#include "hartonomous/hilbert.hpp"

using namespace hartonomous;

HARTONOMOUS_FUNCTION(hilbert_index) {
  const float at[3] = {PG_GETARG_FLOAT4(0), PG_GETARG_FLOAT4(1), PG_GETARG_FLOAT4(2)};
  // NULL, not an error, outside the space: the column is generated, and a stray point must stay storable so that
  // it can be found and mended.
  for (int i = 0; i < 3; ++i) {
    if (!(at[i] >= axes[i].low && at[i] <= axes[i].high)) PG_RETURN_NULL();
  }
  PG_RETURN_INT64(hilbert_index(at[0], at[1], at[2]));
}
