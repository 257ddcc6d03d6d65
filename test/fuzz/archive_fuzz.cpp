// libFuzzer: any bytes as a chunk of an archive, as contents under a right checksum, and as values to be archived. What
// is read must come back the same when it is archived and read again.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include "archive/contents.hpp"
#include "hartonomous/archive.hpp"
#include "hartonomous/error.hpp"

namespace {

using namespace hartonomous;
using archive::column_kind;

constexpr std::size_t most_bytes = std::size_t{1} << 20;

void require(bool condition) {
  if (!condition) std::abort();
}

bool same_bytes(const void* a, const void* b, std::size_t size) { return size == 0 || std::memcmp(a, b, size) == 0; }

void check(const archived_integers& read, interrupt_checker& none) {
  const archived_integers again =
      read_archived_integers(archive_integers(read.values, read.present, none), SIZE_MAX, none);
  require(again.values == read.values);
}

void check(const archived_reals& read, interrupt_checker& none) {
  const archived_reals again = read_archived_reals(archive_reals(read.values, read.present, none), SIZE_MAX, none);
  require(again.values.size() == read.values.size());
  require(same_bytes(again.values.data(), read.values.data(), 4 * read.values.size()));
}

void check(const archived_texts& read, interrupt_checker& none) {
  std::vector<std::string_view> values;
  for (const std::uint32_t index : read.index) {
    values.push_back(index < read.distinct.size() ? read.distinct[index] : std::string_view());
  }
  const archived_texts again = read_archived_texts(archive_texts(values, read.present, none), SIZE_MAX, none);
  require(again.index.size() == values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (read.present.empty() || read.present[i] != 0) require(again.distinct[again.index[i]] == values[i]);
  }
}

void check_same(const archived_weights& read, const archived_weights& again) {
  require(again.atoms.size() == read.atoms.size());
  for (std::size_t i = 0; i < read.atoms.size(); ++i) {
    const atom_weights& one = read.atoms[i];
    const atom_weights& other = again.atoms[i];
    require(one.id == other.id && one.count == other.count && one.blocks.size() == other.blocks.size());
    require(same_bytes(one.blocks.data(), other.blocks.data(), one.blocks.size()));
  }
}

void check(const archived_weights& read, interrupt_checker& none) {
  // Each descends from the one before it, if that is like it.
  std::vector<atom_weights> parents(read.atoms.size(), {format::F32, 0, {}});
  if (!parents.empty()) std::copy(read.atoms.begin(), read.atoms.end() - 1, parents.begin() + 1);
  check_same(read, read_archived_weights(archive_weights(read.atoms, {}, none), {}, SIZE_MAX, none));
  check_same(read, read_archived_weights(archive_weights(read.atoms, parents, none), parents, SIZE_MAX, none));
}

template <class Read>
void check_chunk(Read read, span<const std::byte> chunk) {
  no_interrupts none;
  try {
    const auto values = read(chunk, most_bytes, none);
    try {
      check(values, none);
    } catch (const error&) {
      std::abort();  // what was read must be writable
    }
  } catch (const error&) {
    return;
  }
}

void check_chunks(column_kind kind, span<const std::byte> chunk) {
  switch (kind) {
    case column_kind::integers:
      return check_chunk(read_archived_integers, chunk);
    case column_kind::reals:
      return check_chunk(read_archived_reals, chunk);
    case column_kind::texts:
      return check_chunk(read_archived_texts, chunk);
    case column_kind::weights:
      return check_chunk([](span<const std::byte> from, std::size_t most,
                            interrupt_checker& none) { return read_archived_weights(from, {}, most, none); },
                         chunk);
  }
}

// The bytes as atoms: a format, a number of blocks, and then the blocks.
void check_atoms(span<const std::byte> data) {
  std::vector<atom_weights> atoms;
  std::size_t at = 0;
  while (at + 2 <= data.size()) {
    const span<const format_traits> formats = all_formats();
    const format_traits& traits = formats[std::to_integer<std::size_t>(data[at]) % formats.size()];
    const std::size_t blocks = std::to_integer<std::size_t>(data[at + 1]);
    const std::size_t size = blocks * traits.block_bytes;
    at += 2;
    if (size > data.size() - at) break;
    atoms.push_back({traits.id, static_cast<std::uint32_t>(blocks * traits.block_weights), data.subspan(at, size)});
    at += size;
  }
  no_interrupts none;
  archived_weights given;
  given.atoms = atoms;
  check(given, none);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const span<const std::byte> input(reinterpret_cast<const std::byte*>(data), size);
  no_interrupts none;
  for (const column_kind kind : {column_kind::integers, column_kind::reals, column_kind::texts, column_kind::weights}) {
    check_chunks(kind, input);
    check_chunks(kind, archive::compress_contents(kind, input, {}, none));
  }
  check_atoms(input);
  return 0;
}
