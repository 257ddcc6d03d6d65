// hilbert_index(), and the sort order in which GiST indexes of points are built (sql/api/hilbert.sql).
#include "pg/base/boundary.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "hartonomous/hilbert.hpp"

extern "C" {
#include "utils/sortsupport.h"
}

using namespace hartonomous;

HARTONOMOUS_STORED_FUNCTION(hilbert_index) {
  const float at[3] = {PG_GETARG_FLOAT4(0), PG_GETARG_FLOAT4(1), PG_GETARG_FLOAT4(2)};
  // NULL and not an error for a point out of range: the column is generated, and it must be possible to store such a
  // point so that it can be found and repaired.
  for (int i = 0; i < 3; ++i) {
    if (!(at[i] >= axes[i].low && at[i] <= axes[i].high)) PG_RETURN_NULL();
  }
  PG_RETURN_INT64(hilbert_index(at[0], at[1], at[2]));
}

namespace {

// The Hilbert index of the center of a PostGIS gidx (a length word, then minimum and maximum of each dimension as
// float). Missing dimensions are taken to be in the middle of the space, and points out of range are moved to its edge.
// The order affects only how well the index is packed, not what it finds, so any value is valid.
std::uint64_t place_on_curve(Datum datum) {
  const auto* box = reinterpret_cast<const varlena*>(DatumGetPointer(datum));
  const std::size_t dimensions = VARSIZE_ANY_EXHDR(box) / (2 * sizeof(float));
  float at[3];
  for (std::size_t i = 0; i < 3; ++i) {
    float bounds[2] = {axes[i].low, axes[i].high};
    if (i < dimensions) std::memcpy(bounds, VARDATA_ANY(box) + i * sizeof bounds, sizeof bounds);
    const float middle = bounds[0] / 2 + bounds[1] / 2;
    at[i] = middle >= axes[i].low ? std::min(middle, axes[i].high) : axes[i].low;
  }
  return static_cast<std::uint64_t>(hilbert_index(at[0], at[1], at[2]));
}

int compare_places(Datum a, Datum b, SortSupport) {
  const std::uint64_t x = place_on_curve(a), y = place_on_curve(b);
  return x < y ? -1 : x > y ? 1 : 0;
}

// Sorts by the Hilbert index, which has 63 bits and is computed once per point.
int compare_abbreviated(Datum a, Datum b, SortSupport) { return a < b ? -1 : a > b ? 1 : 0; }
Datum abbreviate(Datum original, SortSupport) { return place_on_curve(original); }
bool never_abort(int, SortSupport) { return false; }

}  // namespace

HARTONOMOUS_STORED_FUNCTION(gist_points_sortsupport) {
  auto* support = reinterpret_cast<SortSupport>(PG_GETARG_POINTER(0));
  support->ssup_extra = nullptr;
  support->comparator = compare_places;
  if (support->abbreviate && sizeof(Datum) == sizeof(std::uint64_t)) {
    support->comparator = compare_abbreviated;
    support->abbrev_converter = abbreviate;
    support->abbrev_abort = never_abort;
    support->abbrev_full_comparator = compare_places;
  }
  PG_RETURN_VOID();
}
