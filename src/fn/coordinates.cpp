// The coordinate codecs of the original design (sql/api/coordinates.sql).
#include "pg/base/aggregate.hpp"
#include "pg/base/arrays.hpp"
#include "pg/base/composite.hpp"
#include "pg/base/interrupts.hpp"

#include <array>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>

#include "hartonomous/coordinates.hpp"
#include "hartonomous/format.hpp"

using namespace hartonomous;
using namespace hartonomous::pg;

namespace {

Datum bytea_datum(const void* from, std::size_t size) {
  if (size > MaxAllocSize - VARHDRSZ) throw error(sqlstate::program_limit_exceeded, "result too large for a bytea");
  auto* result = static_cast<bytea*>(allocate(VARHDRSZ + size));
  SET_VARSIZE(result, VARHDRSZ + size);
  if (size > 0) std::memcpy(VARDATA(result), from, size);
  return PointerGetDatum(result);
}

span<const std::byte> bytea_argument(FunctionCallInfo fcinfo, int i) {
  const bytea* value = call([&] { return PG_GETARG_BYTEA_PP(i); });
  return {reinterpret_cast<const std::byte*>(VARDATA_ANY(value)), VARSIZE_ANY_EXHDR(value)};
}

Datum point_datum(FunctionCallInfo fcinfo, const point& p) {
  // Encoding refuses non-finite numbers, so these bytes were not made by it.
  if (!std::isfinite(p.x) || !std::isfinite(p.y) || !std::isfinite(p.z)) {
    throw error(sqlstate::invalid_binary_representation, "quantized point is damaged",
                "Its coordinates must be finite numbers.");
  }
  const Datum values[3] = {Float4GetDatum(p.x), Float4GetDatum(p.y), Float4GetDatum(p.z)};
  const bool nulls[3] = {false, false, false};
  return composite_datum(fcinfo, values, nulls);
}

}  // namespace

HARTONOMOUS_FUNCTION(quantize_q8) {
  const point_q8 q = quantize_q8(PG_GETARG_FLOAT4(0), PG_GETARG_FLOAT4(1), PG_GETARG_FLOAT4(2));
  return bytea_datum(q.data(), q.size());
}

HARTONOMOUS_FUNCTION(encode_point) {
  const point p = {PG_GETARG_FLOAT4(0), PG_GETARG_FLOAT4(1), PG_GETARG_FLOAT4(2)};
  const text* name = call([&] { return PG_GETARG_TEXT_PP(3); });
  const std::string_view given(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
  const format_traits* traits = find_format(given.data(), given.size());
  if (traits != nullptr && traits->id == format::Q8_0) {
    const point_q8 q = quantize_q8(p.x, p.y, p.z);
    return bytea_datum(q.data(), q.size());
  }
  if (traits != nullptr && traits->id == format::F16) {
    const point_f16 q = encode_point_f16(p);
    return bytea_datum(q.data(), q.size());
  }
  if (traits != nullptr && traits->id == format::F32) {
    const point_f32 q = encode_point_f32(p);
    return bytea_datum(q.data(), q.size());
  }
  throw error(sqlstate::invalid_parameter_value, "unknown coordinate format \"" + std::string(given) + "\"", {},
              "Points are stored as F32 (12 bytes), F16 (6 bytes) or Q8_0 (3 bytes).");
}

HARTONOMOUS_STORED_FUNCTION(decode_point) {
  const span<const std::byte> bytes = bytea_argument(fcinfo, 0);
  if (bytes.size() == sizeof(point_q8)) {
    point_q8 q;
    std::memcpy(q.data(), bytes.data(), q.size());
    return point_datum(fcinfo, dequantize_q8(q));
  }
  if (bytes.size() == sizeof(point_f16)) {
    point_f16 q;
    std::memcpy(q.data(), bytes.data(), q.size());
    return point_datum(fcinfo, decode_point_f16(q));
  }
  if (bytes.size() == sizeof(point_f32)) {
    point_f32 q;
    std::memcpy(q.data(), bytes.data(), q.size());
    return point_datum(fcinfo, decode_point_f32(q));
  }
  throw error(sqlstate::invalid_binary_representation, "not a quantized point",
              "Quantized points have 3, 6 or 12 bytes; this has " + std::to_string(bytes.size()) + ".");
}

HARTONOMOUS_FUNCTION(dequantize_q8) {
  const span<const std::byte> bytes = bytea_argument(fcinfo, 0);
  if (bytes.size() != sizeof(point_q8)) {
    throw error(sqlstate::invalid_binary_representation, "not a point of 3 bytes",
                "Found " + std::to_string(bytes.size()) + " bytes.");
  }
  point_q8 q;
  std::memcpy(q.data(), bytes.data(), q.size());
  return point_datum(fcinfo, dequantize_q8(q));
}

HARTONOMOUS_FUNCTION(quantize_q4k) {
  const real_array_view values(PG_GETARG_DATUM(0));
  backend_interrupts interrupts;
  const std::vector<std::byte> bytes = quantize_q4k(values.values(), PG_GETARG_INT32(1), interrupts);
  return bytea_datum(bytes.data(), bytes.size());
}

HARTONOMOUS_FUNCTION(dequantize_q4k) {
  const span<const std::byte> bytes = bytea_argument(fcinfo, 0);
  const std::int64_t length = PG_GETARG_INT64(1), block_size = PG_GETARG_INT32(2);
  check_q4k_length(bytes, length, block_size);
  ArrayType* array = new_real_array(static_cast<std::size_t>(length));
  backend_interrupts interrupts;
  dequantize_q4k(bytes, length, block_size, elements(array), interrupts);
  PG_RETURN_ARRAYTYPE_P(array);
}

namespace {

struct q4k_state {
  q4k_encoder encoder;
  std::int32_t block_size;
  std::int64_t count = 0;

  explicit q4k_state(std::int32_t size) : encoder(size), block_size(size) {}

  void append(float value) {
    // A result too large for a bytea is refused early, not only when memory has run out.
    if (++count % 65536 == 0 && q4k_bytes(count, block_size) > std::int64_t{MaxAllocSize - VARHDRSZ}) {
      throw error(sqlstate::program_limit_exceeded, "result too large for a bytea");
    }
    encoder.append(value);
  }
};

}  // namespace

HARTONOMOUS_FUNCTION(quantize_q4k_transition) {
  const MemoryContext context = aggregate_context(fcinfo);
  if (PG_ARGISNULL(1)) {
    throw error(sqlstate::null_value_not_allowed, "coordinates cannot be NULL", {},
                "FILTER (WHERE coordinate IS NOT NULL) leaves them out.");
  }
  std::int32_t block_size = q4k_default_block;
  if (PG_NARGS() > 2) {
    if (PG_ARGISNULL(2)) {
      throw error(sqlstate::null_value_not_allowed, "block_size cannot be NULL", {}, "Leave it out for 256.");
    }
    block_size = PG_GETARG_INT32(2);
  }
  auto* state = state_argument<q4k_state>(fcinfo, 0);
  if (state == nullptr) state = make_state<q4k_state>(context, block_size);
  if (block_size != state->block_size) {
    throw error(sqlstate::invalid_parameter_value, "block_size must be the same for all rows",
                "It was " + std::to_string(state->block_size) + " and is now " + std::to_string(block_size) + ".");
  }
  state->append(PG_GETARG_FLOAT4(1));
  PG_RETURN_POINTER(state);
}

HARTONOMOUS_FUNCTION(quantize_q4k_final) {
  const auto* state = state_argument<q4k_state>(fcinfo, 0);
  if (state == nullptr) PG_RETURN_NULL();
  // A copy is finished and not the state itself, because a window aggregate continues with the state.
  q4k_encoder encoder = state->encoder;
  const std::vector<std::byte> bytes = encoder.finish();
  return bytea_datum(bytes.data(), bytes.size());
}
