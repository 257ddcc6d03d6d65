// Columns of atoms as chunks of an archive, and single values of chunks (sql/internal/archive.sql).
#include "pg/base/aggregate.hpp"
#include "pg/base/arrays.hpp"
#include "pg/base/composite.hpp"
#include "pg/base/interrupts.hpp"
#include "pg/base/memory.hpp"
#include "pg/base/weights.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
#include <string>
#include <string_view>

#include "hartonomous/archive.hpp"

using namespace hartonomous;
using namespace hartonomous::pg;

namespace {

// ---- writing ----------------------------------------------------------------------------------------------------

// The elements of an array argument, some of which may be NULL.
class nullable_elements {
 public:
  explicit nullable_elements(Datum datum) {
    // The elements again, planes and a chunk: what the functions of the core need.
    require_work_memory(4 * std::uint64_t{call([&] { return toast_raw_datum_size(datum); })}, "archiving a column");
    bool* nulls = nullptr;
    int count = 0;
    call([&] {
      ArrayType* array = DatumGetArrayTypeP(datum);
      int16 length;
      bool by_value;
      char alignment;
      get_typlenbyvalalign(ARR_ELEMTYPE(array), &length, &by_value, &alignment);
      deconstruct_array(array, ARR_ELEMTYPE(array), length, by_value, alignment, &values_, &nulls, &count);
    });
    present_.resize(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < present_.size(); ++i) present_[i] = nulls[i] ? 0 : 1;
  }

  std::size_t size() const noexcept { return present_.size(); }
  bool has(std::size_t i) const noexcept { return present_[i] != 0; }
  Datum operator[](std::size_t i) const noexcept { return values_[i]; }
  span<const std::uint8_t> present() const noexcept { return present_; }

 private:
  Datum* values_ = nullptr;
  std::vector<std::uint8_t> present_;
};

// The atoms of an argument of type weights[].
class weights_elements {
 public:
  explicit weights_elements(Datum datum) {
    const nullable_elements given(datum);
    for (std::size_t i = 0; i < given.size(); ++i) {
      if (!given.has(i)) throw error(sqlstate::null_value_not_allowed, "weights to be archived must not be NULL");
      const weights_view& view = views_.emplace_back(given[i]);
      atoms_.push_back({view.id(), static_cast<std::uint32_t>(view.count()), view.blocks()});
    }
  }
  span<const atom_weights> atoms() const noexcept { return atoms_; }

 private:
  std::deque<weights_view> views_;
  std::vector<atom_weights> atoms_;
};

Datum bytea_of(span<const std::byte> bytes) {
  if (bytes.size() > MaxAllocSize - VARHDRSZ) throw std::bad_alloc();
  auto* value = static_cast<bytea*>(allocate(VARHDRSZ + bytes.size()));
  SET_VARSIZE(value, VARHDRSZ + bytes.size());
  if (!bytes.empty()) std::memcpy(VARDATA(value), bytes.data(), bytes.size());
  return PointerGetDatum(value);
}

// Every chunk is read again before it is given out: what is archived is deleted elsewhere.
void require_read_again(bool are_same) {
  if (!are_same) throw error(sqlstate::data_corrupted, "a column was not archived as it is");
}

bool are_same_presence(const std::vector<std::uint8_t>& read, span<const std::uint8_t> given) {
  for (std::size_t i = 0; i < given.size(); ++i) {
    if (given[i] != (read.empty() ? 1 : read[i])) return false;
  }
  return read.empty() || read.size() == given.size();
}

template <class T>
bool are_same_values(const std::vector<T>& read, const std::vector<T>& given) {
  return read.size() == given.size() &&
         (read.empty() || std::memcmp(read.data(), given.data(), sizeof(T) * read.size()) == 0);
}

std::size_t memory_for_chunks() { return static_cast<std::size_t>(work_memory()); }

span<const std::byte> bytes_of_chunk(const struct varlena* chunk) {
  return {reinterpret_cast<const std::byte*>(VARDATA_ANY(chunk)), VARSIZE_ANY_EXHDR(chunk)};
}

// The bytes of an element of type text or bytea.
std::string_view bytes_of_element(Datum element) {
  const struct varlena* value = call([&] { return PG_DETOAST_DATUM_PACKED(element); });
  return {VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)};
}

// The same of a text, in UTF-8 whatever the encoding of the database: a dump may be restored into another one.
std::string_view utf8_of_element(Datum element) {
  const std::string_view given = bytes_of_element(element);
  const char* converted = call([&] { return pg_server_to_any(given.data(), static_cast<int>(given.size()), PG_UTF8); });
  return converted == given.data() ? given : std::string_view(converted);
}

template <class Convert>
Datum archive_bytes_of(FunctionCallInfo fcinfo, Convert convert) {
  const nullable_elements given(PG_GETARG_DATUM(0));
  std::vector<std::string_view> values(given.size());
  for (std::size_t i = 0; i < given.size(); ++i) {
    if (given.has(i)) values[i] = convert(given[i]);
  }
  backend_interrupts interrupts;
  const archive_chunk chunk = archive_texts(values, given.present(), interrupts);
  const archived_texts read = read_archived_texts(chunk, memory_for_chunks(), interrupts);
  bool are_same = read.index.size() == values.size() && are_same_presence(read.present, given.present());
  for (std::size_t i = 0; are_same && i < values.size(); ++i) {
    are_same = !given.has(i) || read.distinct[read.index[i]] == values[i];
  }
  require_read_again(are_same);
  return bytea_of(chunk);
}

// ---- reading ----------------------------------------------------------------------------------------------------

// A column that was read last by a call in a query, so that a chunk is read once for all of its values.
template <class Column>
class column_cache {
 public:
  template <class Read>
  static const Column& of(FunctionCallInfo fcinfo, Read read) {
    FmgrInfo* call_site = fcinfo->flinfo;
    if (call_site->fn_extra == nullptr) call_site->fn_extra = make_state<column_cache>(call_site->fn_mcxt);
    return static_cast<column_cache*>(call_site->fn_extra)->column(PG_GETARG_DATUM(0), read);
  }

 private:
  // A value out of line is known by its pointer, which is not followed; any other by its bytes. Pointers into memory
  // (of triggers, for example) tell nothing.
  template <class Read>
  const Column& column(Datum datum, Read read) {
    const auto* stored = reinterpret_cast<const char*>(DatumGetPointer(datum));
    const bool is_known = !VARATT_IS_EXTERNAL(stored) || VARATT_IS_EXTERNAL_ONDISK(stored);
    const std::string_view key(stored, is_known ? VARSIZE_ANY(stored) : 0);
    if (key_ != key || key.empty()) {
      key_.clear();
      struct varlena* chunk = call([&] { return PG_DETOAST_DATUM_PACKED(datum); });
      backend_interrupts interrupts;
      column_ = Column();
      column_ = read(bytes_of_chunk(chunk), memory_for_chunks(), interrupts);
      if (static_cast<void*>(chunk) != static_cast<const void*>(stored)) pfree(chunk);
      key_.assign(key);
    }
    return column_;
  }

  std::string key_;
  Column column_;
};

std::size_t checked_position(FunctionCallInfo fcinfo, std::size_t count) {
  const int32 position = PG_GETARG_INT32(1);
  if (position >= 1 && static_cast<std::size_t>(position) <= count) return static_cast<std::size_t>(position) - 1;
  throw error(sqlstate::array_subscript_error, "an archived column has no value " + std::to_string(position),
              "It has " + std::to_string(count) + " values.");
}

bool is_null(const std::vector<std::uint8_t>& present, std::size_t i) { return !present.empty() && present[i] == 0; }

// The value of a column of texts; false if it is NULL.
bool find_text(FunctionCallInfo fcinfo, std::string_view& found) {
  const archived_texts& column = column_cache<archived_texts>::of(fcinfo, read_archived_texts);
  const std::size_t i = checked_position(fcinfo, column.index.size());
  if (is_null(column.present, i)) return false;
  found = column.distinct[column.index[i]];
  return true;
}

archived_weights read_weights(span<const std::byte> chunk, std::size_t most_bytes, interrupt_checker& interrupts) {
  return read_archived_weights(chunk, {}, most_bytes, interrupts);
}

bool are_same_weights(span<const atom_weights> read, span<const atom_weights> given) {
  return std::equal(read.begin(), read.end(), given.begin(), given.end(),
                    [](const atom_weights& a, const atom_weights& b) {
                      return a.id == b.id && a.count == b.count &&
                             std::equal(a.blocks.begin(), a.blocks.end(), b.blocks.begin(), b.blocks.end());
                    });
}

}  // namespace

HARTONOMOUS_FUNCTION(archive_integers) {
  const nullable_elements given(PG_GETARG_DATUM(0));
  std::vector<std::int64_t> values(given.size());
  for (std::size_t i = 0; i < given.size(); ++i) values[i] = given.has(i) ? DatumGetInt64(given[i]) : 0;
  backend_interrupts interrupts;
  const archive_chunk chunk = archive_integers(values, given.present(), interrupts);
  const archived_integers read = read_archived_integers(chunk, memory_for_chunks(), interrupts);
  require_read_again(are_same_values(read.values, values) && are_same_presence(read.present, given.present()));
  return bytea_of(chunk);
}

HARTONOMOUS_FUNCTION(archive_reals) {
  const nullable_elements given(PG_GETARG_DATUM(0));
  std::vector<float> values(given.size());
  for (std::size_t i = 0; i < given.size(); ++i) values[i] = given.has(i) ? DatumGetFloat4(given[i]) : 0.0f;
  backend_interrupts interrupts;
  const archive_chunk chunk = archive_reals(values, given.present(), interrupts);
  const archived_reals read = read_archived_reals(chunk, memory_for_chunks(), interrupts);
  require_read_again(are_same_values(read.values, values) && are_same_presence(read.present, given.present()));
  return bytea_of(chunk);
}

HARTONOMOUS_FUNCTION(archive_texts) { return archive_bytes_of(fcinfo, utf8_of_element); }
HARTONOMOUS_FUNCTION(archive_bytes) { return archive_bytes_of(fcinfo, bytes_of_element); }

HARTONOMOUS_FUNCTION(archive_weights) {
  const weights_elements given(PG_GETARG_DATUM(0));
  backend_interrupts interrupts;
  const archive_chunk chunk = archive_weights(given.atoms(), {}, interrupts);
  require_read_again(are_same_weights(read_weights(chunk, memory_for_chunks(), interrupts).atoms, given.atoms()));
  return bytea_of(chunk);
}

HARTONOMOUS_FUNCTION(sharing_signature) {
  const weights_elements given(PG_GETARG_DATUM(0));
  backend_interrupts interrupts;
  const std::vector<std::int64_t> numbers = sharing_signature(given.atoms(), interrupts);
  return call([&] {
    auto* values = static_cast<Datum*>(palloc(sizeof(Datum) * (numbers.size() + 1)));
    for (std::size_t i = 0; i < numbers.size(); ++i) values[i] = Int64GetDatum(numbers[i]);
    return PointerGetDatum(construct_array(values, static_cast<int>(numbers.size()), INT8OID, sizeof(int64),
                                           FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
  });
}

HARTONOMOUS_FUNCTION(chunk_find_weights) {
  const weights_elements wanted(PG_GETARG_DATUM(1));
  const struct varlena* chunk = call([&] { return PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(0)); });
  backend_interrupts interrupts;
  const archived_weights stored = read_weights(bytes_of_chunk(chunk), memory_for_chunks(), interrupts);
  const std::vector<std::int32_t> found = find_atoms(wanted.atoms(), stored.atoms, interrupts);
  ArrayType* numbers = new_integer_array(found.size());
  for (std::size_t i = 0; i < found.size(); ++i) integer_elements(numbers)[i] = found[i] + 1;
  return PointerGetDatum(numbers);
}

HARTONOMOUS_FUNCTION(chunk_integer) {
  const archived_integers& column = column_cache<archived_integers>::of(fcinfo, read_archived_integers);
  const std::size_t i = checked_position(fcinfo, column.values.size());
  if (is_null(column.present, i)) PG_RETURN_NULL();
  PG_RETURN_INT64(column.values[i]);
}

HARTONOMOUS_FUNCTION(chunk_real) {
  const archived_reals& column = column_cache<archived_reals>::of(fcinfo, read_archived_reals);
  const std::size_t i = checked_position(fcinfo, column.values.size());
  if (is_null(column.present, i)) PG_RETURN_NULL();
  PG_RETURN_FLOAT4(column.values[i]);
}

HARTONOMOUS_FUNCTION(chunk_summary) {
  const struct varlena* chunk = call([&] { return PG_DETOAST_DATUM_PACKED(PG_GETARG_DATUM(0)); });
  backend_interrupts interrupts;
  const reals_summary found = summary_of(read_archived_reals(bytes_of_chunk(chunk), memory_for_chunks(), interrupts));
  const Datum values[] = {Int64GetDatum(static_cast<int64>(found.count)), Float8GetDatum(found.mean),
                          Float8GetDatum(found.squares), Float4GetDatum(found.least), Float4GetDatum(found.greatest)};
  const bool none = found.count == 0;
  const bool nulls[] = {false, none, none, none, none};
  return composite_datum(fcinfo, values, nulls);
}

HARTONOMOUS_FUNCTION(chunk_text) {
  std::string_view found;
  if (!find_text(fcinfo, found)) PG_RETURN_NULL();
  return call([&] {
    const char* text = pg_any_to_server(found.data(), static_cast<int>(found.size()), PG_UTF8);  // checks it, too
    const std::size_t size = text == found.data() ? found.size() : std::strlen(text);
    return PointerGetDatum(cstring_to_text_with_len(text, static_cast<int>(size)));
  });
}

HARTONOMOUS_FUNCTION(chunk_bytes) {
  std::string_view found;
  if (!find_text(fcinfo, found)) PG_RETURN_NULL();
  return bytea_of({reinterpret_cast<const std::byte*>(found.data()), found.size()});
}

HARTONOMOUS_FUNCTION(chunk_weights) {
  const archived_weights& column = column_cache<archived_weights>::of(fcinfo, read_weights);
  const atom_weights& atom = column.atoms[checked_position(fcinfo, column.atoms.size())];
  weights_varlena* value = new_weights(atom.id, atom.count);
  if (!atom.blocks.empty()) std::memcpy(value->blocks(), atom.blocks.data(), atom.blocks.size());
  return PointerGetDatum(value);
}
