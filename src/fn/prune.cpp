// The aggregate prune_threshold() (sql/internal/prune.sql).
#include "pg/base/aggregate.hpp"
#include "pg/base/composite.hpp"
#include "pg/base/memory.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "hartonomous/prune.hpp"

using namespace hartonomous;
using namespace hartonomous::pg;

namespace {

// The atoms of the group, and the arguments that are the same in every row.
struct prune_state {
  prune_group group;
  std::optional<double> keep_ratio;
  std::optional<float> threshold;
  std::optional<std::int64_t> of_atoms;
};

void check_rule(const prune_state& state) {
  const bool ratio_fits = !state.keep_ratio || (*state.keep_ratio >= 0.0 && *state.keep_ratio <= 1.0);
  if (state.keep_ratio.has_value() == state.threshold.has_value() || !ratio_fits) {
    throw error(sqlstate::invalid_parameter_value,
                "exactly one of keep_ratio, between 0 and 1, and threshold must be given");
  }
}

prune_summary summary_of(const prune_state& state) {
  if (!state.keep_ratio) return state.group.below(*state.threshold);
  return state.of_atoms ? state.group.keeping(*state.keep_ratio, *state.of_atoms)
                        : state.group.keeping(*state.keep_ratio);
}

Datum summary_datum(FunctionCallInfo fcinfo, const prune_summary& summary) {
  const bool known = summary.threshold.has_value();
  const Datum values[5] = {Float4GetDatum(known ? *summary.threshold : 0.0f), Int64GetDatum(summary.atoms),
                           Int64GetDatum(summary.removed), Int64GetDatum(summary.bytes),
                           Int64GetDatum(summary.removed_bytes)};
  const bool nulls[5] = {!known, false, false, false, false};
  return composite_datum(fcinfo, values, nulls);
}

}  // namespace

HARTONOMOUS_FUNCTION(prune_threshold_transition) {
  const MemoryContext context = aggregate_context(fcinfo);
  auto* state = state_argument<prune_state>(fcinfo, 0);
  if (state == nullptr) {
    state = make_state<prune_state>(context);
    if (!PG_ARGISNULL(3)) state->keep_ratio = PG_GETARG_FLOAT8(3);
    if (!PG_ARGISNULL(4)) state->threshold = PG_GETARG_FLOAT4(4);
    if (!PG_ARGISNULL(5)) state->of_atoms = std::max<std::int64_t>(0, PG_GETARG_INT64(5));
    check_rule(*state);
  }
  const std::int64_t bytes = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT64(2);
  state->group.add(PG_ARGISNULL(1) ? std::nullopt : std::optional<float>(PG_GETARG_FLOAT4(1)), bytes);
  PG_RETURN_POINTER(state);
}

HARTONOMOUS_FUNCTION(prune_threshold_final) {
  const auto* state = state_argument<prune_state>(fcinfo, 0);
  if (state == nullptr) PG_RETURN_NULL();
  return summary_datum(fcinfo, summary_of(*state));
}
