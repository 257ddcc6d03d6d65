// SQL type `weights`: input, output, casts and accessors (sql/api/weights.sql).
#include "pg/base/arrays.hpp"
#include "pg/base/interrupts.hpp"
#include "pg/base/weights.hpp"

extern "C" {
#include "common/hashfn.h"
}

#include <cstdint>
#include <cstring>
#include <string>

#include "hartonomous/codec.hpp"
#include "hartonomous/error.hpp"
#include "hartonomous/statistics.hpp"
#include "hartonomous/weights.hpp"

using namespace hartonomous;
using namespace hartonomous::pg;

namespace {

weights_varlena* copy_of(const weights_view& w) {
  weights_varlena* copy = new_weights(w.id(), w.count());
  std::memcpy(copy->blocks(), w.blocks().data(), w.blocks().size());
  return copy;
}

// Whether format, count and blocks are equal. Values of different sizes are not read from TOAST.
bool same_bytes(Datum left, Datum right) {
  if (call([&] { return toast_raw_datum_size(left) != toast_raw_datum_size(right); })) return false;
  const weights_view a(left), b(right);
  return a.id() == b.id() && a.count() == b.count() &&
         std::memcmp(a.blocks().data(), b.blocks().data(), a.blocks().size()) == 0;
}

// The core takes an empty run as no importance, whereas an empty array from SQL is an array of the wrong length.
weights_varlena* encode_by_importance(format f, span<const float> values, Datum importance) {
  const real_array_view weights(importance);
  if (weights.values().empty() && !values.empty()) {
    throw error(sqlstate::array_subscript_error, "importance and values must have the same length",
                "There are " + std::to_string(values.size()) + " values and 0 importances.");
  }
  return encode(f, values, weights.values());
}

block_run run_of(const weights_view& w) { return {w.id(), w.blocks(), w.count()}; }

}  // namespace

HARTONOMOUS_STORED_FUNCTION(weights_in) {
  const weights_text text = parse_weights_text(PG_GETARG_CSTRING(0));
  weights_varlena* w = new_weights(text.id, text.count);
  backend_interrupts interrupts;
  decode_blocks(text.digits, w->blocks(), interrupts);
  PG_RETURN_POINTER(w);
}

HARTONOMOUS_STORED_FUNCTION(weights_out) {
  const weights_view w(PG_GETARG_DATUM(0));
  const std::string head = weights_text_head(w.id(), static_cast<std::uint32_t>(w.count()));
  const std::size_t length = head.size() + 2 * w.blocks().size();
  if (length >= MaxAllocSize) {
    throw error(sqlstate::program_limit_exceeded, "weights value too large for its text form");
  }
  char* out = static_cast<char*>(allocate(length + 1));
  std::memcpy(out, head.data(), head.size());
  backend_interrupts interrupts;
  encode_blocks(w.blocks(), out + head.size(), interrupts);
  out[length] = '\0';
  PG_RETURN_CSTRING(out);
}

HARTONOMOUS_STORED_FUNCTION(weights_recv) {
  auto* input = reinterpret_cast<StringInfo>(PG_GETARG_POINTER(0));
  const int left = input->len - input->cursor;
  const char* bytes = call([&] { return pq_getmsgbytes(input, left); });
  const weights_message message =
      parse_weights_message({reinterpret_cast<const std::byte*>(bytes), static_cast<std::size_t>(left)});
  weights_varlena* w = new_weights(message.id, message.count);
  std::memcpy(w->blocks(), message.blocks.data(), message.blocks.size());
  PG_RETURN_POINTER(w);
}

HARTONOMOUS_STORED_FUNCTION(weights_send) {
  const weights_view w(PG_GETARG_DATUM(0));
  const auto head = weights_message_head(w.id(), static_cast<std::uint32_t>(w.count()));
  StringInfoData message;
  call([&] {
    pq_begintypsend(&message);
    pq_sendbytes(&message, reinterpret_cast<const char*>(head.data()), static_cast<int>(head.size()));
    pq_sendbytes(&message, reinterpret_cast<const char*>(w.blocks().data()), static_cast<int>(w.blocks().size()));
  });
  PG_RETURN_BYTEA_P(call([&] { return pq_endtypsend(&message); }));
}

HARTONOMOUS_FUNCTION(weights_from_real_array) {
  const real_array_view array(PG_GETARG_DATUM(0));
  PG_RETURN_POINTER(encode(format::F32, array.values(), {}));
}

HARTONOMOUS_STORED_FUNCTION(weights_to_bytea) {
  const weights_view w(PG_GETARG_DATUM(0));
  auto* result = static_cast<bytea*>(allocate(VARHDRSZ + w.blocks().size()));
  SET_VARSIZE(result, VARHDRSZ + w.blocks().size());
  std::memcpy(VARDATA(result), w.blocks().data(), w.blocks().size());
  PG_RETURN_BYTEA_P(result);
}

HARTONOMOUS_FUNCTION(weights_from_blocks) {
  const format f = format_argument(call([&] { return PG_GETARG_TEXT_PP(0); }));
  const std::int64_t count = PG_GETARG_INT64(1);
  if (count < 0) throw error(sqlstate::invalid_parameter_value, "count of weights cannot be negative");
  const bytea* blocks = call([&] { return PG_GETARG_BYTEA_PP(2); });
  const std::uint64_t expected = bytes_of(f, static_cast<std::uint64_t>(count));
  if (VARSIZE_ANY_EXHDR(blocks) != expected) {
    throw error(sqlstate::invalid_binary_representation, "wrong number of bytes for these weights",
                std::to_string(count) + " weights in " + traits_of(f).name + " need " + std::to_string(expected) +
                    " bytes, found " + std::to_string(VARSIZE_ANY_EXHDR(blocks)) + ".");
  }
  weights_varlena* w = new_weights(f, static_cast<std::uint64_t>(count));
  std::memcpy(w->blocks(), VARDATA_ANY(blocks), expected);
  PG_RETURN_POINTER(w);
}

HARTONOMOUS_FUNCTION(weights_format) {
  const format_traits& traits = traits_of(read_header(PG_GETARG_DATUM(0)).id);
  PG_RETURN_TEXT_P(call([&] { return cstring_to_text(traits.name); }));
}

HARTONOMOUS_FUNCTION(weights_count) { PG_RETURN_INT64(static_cast<int64>(read_header(PG_GETARG_DATUM(0)).count)); }

HARTONOMOUS_STORED_FUNCTION(weights_bytes) {
  // The size is known without fetching the blocks from TOAST.
  const Size size = call([&] { return toast_raw_datum_size(PG_GETARG_DATUM(0)); });
  PG_RETURN_INT64(static_cast<int64>(size - sizeof(weights_varlena)));
}

HARTONOMOUS_STORED_FUNCTION(weights_eq) { PG_RETURN_BOOL(same_bytes(PG_GETARG_DATUM(0), PG_GETARG_DATUM(1))); }

HARTONOMOUS_STORED_FUNCTION(weights_ne) { PG_RETURN_BOOL(!same_bytes(PG_GETARG_DATUM(0), PG_GETARG_DATUM(1))); }

// The hash covers what equality compares: format, count and blocks.
HARTONOMOUS_STORED_FUNCTION(weights_hash) {
  const weights_view w(PG_GETARG_DATUM(0));
  const span<const std::byte> bytes = w.bytes();
  return hash_any(reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
}

HARTONOMOUS_STORED_FUNCTION(weights_hash_extended) {
  const weights_view w(PG_GETARG_DATUM(0));
  const span<const std::byte> bytes = w.bytes();
  return hash_any_extended(reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()),
                           static_cast<uint64>(PG_GETARG_INT64(1)));
}

HARTONOMOUS_FUNCTION(weights_rms) {
  const weights_view w(PG_GETARG_DATUM(0));
  backend_interrupts interrupts;
  PG_RETURN_FLOAT8(rms(run_of(w), interrupts));
}

HARTONOMOUS_FUNCTION(weights_relative_error) {
  const weights_view a(PG_GETARG_DATUM(0)), b(PG_GETARG_DATUM(1));
  backend_interrupts interrupts;
  PG_RETURN_FLOAT8(relative_error(run_of(a), run_of(b), interrupts));
}

HARTONOMOUS_FUNCTION(weights_dot) {
  const weights_view a(PG_GETARG_DATUM(0)), b(PG_GETARG_DATUM(1));
  backend_interrupts interrupts;
  PG_RETURN_FLOAT8(dot(run_of(a), run_of(b), interrupts));
}

HARTONOMOUS_FUNCTION(weights_matvec) {
  const weights_view matrix(PG_GETARG_DATUM(0));
  const real_array_view vector(PG_GETARG_DATUM(1));
  const std::size_t columns = vector.values().size();
  ArrayType* product = new_real_array(columns != 0 ? matrix.count() / columns : 0);
  backend_interrupts interrupts;
  matvec(run_of(matrix), vector.values(), elements(product), interrupts);
  PG_RETURN_ARRAYTYPE_P(product);
}

// Without importance, requantizing to the same format is a copy, not another rounding.
HARTONOMOUS_FUNCTION(quantize_weights) {
  const weights_view w(PG_GETARG_DATUM(0));
  const format f = format_argument(call([&] { return PG_GETARG_TEXT_PP(1); }));
  if (PG_NARGS() == 2 && f == w.id()) PG_RETURN_POINTER(copy_of(w));
  const weights_floats values(w);
  if (PG_NARGS() > 2) PG_RETURN_POINTER(encode_by_importance(f, values.values(), PG_GETARG_DATUM(2)));
  PG_RETURN_POINTER(encode(f, values.values(), {}));
}

// Some formats choose the scales of a block by the size of the whole row, so that rows are quantized one by one.
HARTONOMOUS_FUNCTION(quantize_rows) {
  const weights_view w(PG_GETARG_DATUM(0));
  const format f = format_argument(call([&] { return PG_GETARG_TEXT_PP(1); }));
  const real_array_view importance(PG_GETARG_DATUM(2));
  const std::size_t columns = importance.values().size(), rows = columns > 0 ? w.count() / columns : 0;
  if (rows * columns != w.count()) {
    throw error(sqlstate::array_subscript_error,
                std::to_string(w.count()) + " weights are no rows of " + std::to_string(columns));
  }
  if (rows > 1 && columns % traits_of(f).block_weights != 0) {
    throw error(sqlstate::invalid_parameter_value,
                "rows of " + std::to_string(columns) + " weights fit no block of " + traits_of(f).name);
  }
  const weights_floats values(w);
  weights_varlena* result = new_weights(f, w.count());
  backend_interrupts interrupts;
  for (std::size_t row = 0; row < rows; ++row) {
    quantize(f, values.values().subspan(row * columns, columns), importance.values(),
             result->blocks() + row * bytes_of(f, columns), interrupts);
  }
  PG_RETURN_POINTER(result);
}

HARTONOMOUS_FUNCTION(quantize_real_array) {
  const real_array_view values(PG_GETARG_DATUM(0));
  const format f = format_argument(call([&] { return PG_GETARG_TEXT_PP(1); }));
  if (PG_NARGS() > 2) PG_RETURN_POINTER(encode_by_importance(f, values.values(), PG_GETARG_DATUM(2)));
  PG_RETURN_POINTER(encode(f, values.values(), {}));
}

HARTONOMOUS_FUNCTION(dequantize_weights) {
  const weights_view w(PG_GETARG_DATUM(0));
  require_work_memory(std::uint64_t{w.count()} * sizeof(float), "dequantizing");
  ArrayType* array = new_real_array(w.count());
  decode(w, elements(array));
  PG_RETURN_ARRAYTYPE_P(array);
}

HARTONOMOUS_FUNCTION(weights_slice) {
  const weights_view w(PG_GETARG_DATUM(0));
  const int64 first = PG_GETARG_INT64(1), count = PG_GETARG_INT64(2);
  const auto total = static_cast<int64>(w.count());
  if (first < 0 || count < 0 || first > total || count > total - first) {
    throw error(sqlstate::invalid_parameter_value, "slice is out of range",
                "There are " + std::to_string(total) + "; asked for are " + std::to_string(count) + " from " +
                    std::to_string(first) + " on.");
  }
  const auto block = static_cast<int64>(w.traits().block_weights);
  if (first % block != 0 || (count % block != 0 && first + count != total)) {
    throw error(sqlstate::invalid_parameter_value, "slice would cut a block",
                std::string(w.traits().name) + " has blocks of " + std::to_string(block) + " weights.");
  }
  weights_varlena* slice = new_weights(w.id(), static_cast<std::uint64_t>(count));
  std::memcpy(slice->blocks(), w.blocks().data() + bytes_of(w.id(), static_cast<std::uint64_t>(first)),
              bytes_of(w.id(), static_cast<std::uint64_t>(count)));
  PG_RETURN_POINTER(slice);
}
