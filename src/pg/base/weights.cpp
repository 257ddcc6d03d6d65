// Creating, checking and decoding values of type `weights` (weights.hpp).
#include "pg/base/weights.hpp"

#include "pg/base/interrupts.hpp"

#include <algorithm>
#include <cstdint>
#include <string>

#include "hartonomous/codec.hpp"

extern "C" {
#include "catalog/namespace.h"
#include "utils/syscache.h"
}

namespace hartonomous::pg {

Oid weights_type() {
  return GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("weights"),
                         ObjectIdGetDatum(get_namespace_oid("hartonomous", false)));
}

weights_varlena* new_weights(format f, std::uint64_t count) {
  const std::uint64_t bytes = bytes_of(f, count);
  if (count > UINT32_MAX || bytes > max_weights_bytes) {
    throw error(sqlstate::program_limit_exceeded, "weights value too large",
                std::to_string(count) + " weights in " + traits_of(f).name + " need " + std::to_string(bytes) +
                    " bytes; a value holds at most " + std::to_string(max_weights_bytes) + ".");
  }
  auto* w = static_cast<weights_varlena*>(allocate(sizeof(weights_varlena) + bytes));
  SET_VARSIZE(w, sizeof(weights_varlena) + bytes);
  w->format_id = static_cast<std::uint16_t>(f);
  w->reserved = 0;
  w->count = static_cast<std::uint32_t>(count);
  return w;
}

namespace {

// `w` may be only the header; `size` is the size of the whole value.
void check_header(const weights_varlena* w, std::size_t size) {
  if (size < sizeof(weights_varlena)) {
    throw error(sqlstate::invalid_binary_representation, "invalid weights: header cut short");
  }
  if (find_format(w->format_id) == nullptr || w->reserved != 0) {
    throw error(sqlstate::invalid_binary_representation,
                "invalid weights: unknown format " + std::to_string(w->format_id));
  }
  const std::uint64_t expected = bytes_of(static_cast<format>(w->format_id), w->count);
  if (size - sizeof(weights_varlena) != expected) {
    throw error(sqlstate::invalid_binary_representation, "invalid weights: wrong number of bytes",
                std::to_string(w->count) + " weights in " + traits_of(static_cast<format>(w->format_id)).name +
                    " need " + std::to_string(expected) + " bytes, found " +
                    std::to_string(size - sizeof(weights_varlena)) + ".");
  }
}

}  // namespace

void check_weights(const weights_varlena* w) { check_header(w, VARSIZE(w)); }

weights_view::weights_view(Datum datum) : original_(DatumGetPointer(datum)) {
  value_ = call([&] { return reinterpret_cast<const weights_varlena*>(PG_DETOAST_DATUM(datum)); });
  check_weights(value_);
}

weights_header read_header(Datum datum) {
  constexpr int after_varlena_header = sizeof(weights_varlena) - VARHDRSZ;
  const Size size = call([&] { return toast_raw_datum_size(datum); });
  auto* w =
      call([&] { return reinterpret_cast<weights_varlena*>(PG_DETOAST_DATUM_SLICE(datum, 0, after_varlena_header)); });
  check_header(w, size);
  const weights_header header = {static_cast<format>(w->format_id), w->count};
  pfree(w);
  return header;
}

void decode(const weights_view& w, float* out) {
  backend_interrupts interrupts;
  dequantize(w.id(), w.blocks(), w.count(), out, interrupts);
}

void decode_between(const weights_view& w, std::uint64_t at, std::uint64_t first, std::uint64_t end, float* out) {
  const std::uint64_t from = std::max(at, first), to = std::min(at + w.count(), end);
  if (from >= to) return;
  const std::size_t skipped = from - at, count = to - from;
  if (count == w.count()) return decode(w, out + (from - first));
  backend_interrupts interrupts;
  const format_traits& traits = w.traits();
  if (skipped % traits.block_weights == 0) {
    const span<const std::byte> blocks = w.blocks().subspan(bytes_of(w.id(), skipped), bytes_of(w.id(), count));
    return dequantize(w.id(), blocks, count, out + (from - first), interrupts);
  }
  const weights_floats all(w);
  std::copy_n(all.values().data() + skipped, count, out + (from - first));
}

weights_floats::weights_floats(const weights_view& w) {
  if (w.id() == format::F32) {
    values_ = {reinterpret_cast<const float*>(w.blocks().data()), w.count()};
    return;
  }
  require_work_memory(std::uint64_t{w.count()} * sizeof(float), "dequantizing");
  decoded_ = buffer<float>(w.count());
  decode(w, decoded_.data());
  values_ = {decoded_.data(), w.count()};
}

weights_varlena* encode(format f, span<const float> values, span<const float> importance) {
  weights_varlena* w = new_weights(f, values.size());
  backend_interrupts interrupts;
  quantize(f, values, importance, w->blocks(), interrupts);
  return w;
}

namespace {

std::string list_formats() {
  std::string names;
  for (const format f : readable_formats()) names += (names.empty() ? "" : ", ") + std::string(traits_of(f).name);
  return names;
}

}  // namespace

format format_argument(text* name) {
  const format_traits* traits = find_format(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
  if (traits != nullptr) return traits->id;
  throw error(sqlstate::invalid_parameter_value,
              "unknown weight format \"" + std::string(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name)) + "\"", {},
              "Formats are ggml's: " + list_formats() + ".");
}

}  // namespace hartonomous::pg
