// The contents of a chunk, uncompressed, and the frame around them.
//
//   chunk     "HA", version, kind, one frame of zstd with its content size and checksum
//   contents  kind again, number of values (4 bytes), then what the kind of column has
//
// The frame is written with public settings of libzstd that leave it little but entropy coding: a hash table of 64
// entries finds no matches in weights, but still runs of equal bytes. Every plane begins a new block, so that each has
// a code of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hartonomous/archive.hpp"
#include "hartonomous/interrupt.hpp"
#include "hartonomous/span.hpp"

namespace hartonomous::archive {

enum class column_kind : std::uint8_t { integers = 1, reals = 2, texts = 3, weights = 4 };

class contents_writer {
 public:
  // `expected` bytes are reserved.
  contents_writer(column_kind kind, std::size_t count, std::size_t expected);

  // Room for bytes that have the same distribution; valid until the next call.
  std::byte* add_part(std::size_t size) { return add_planes(size, 1); }
  std::byte* add_planes(std::size_t size, std::size_t planes);  // so many parts of that size each
  void add_number(std::uint64_t value, std::size_t width);      // without a part of its own
  void add_presence(span<const std::uint8_t> present, std::size_t count);
  void add_integers(span<const std::int64_t> values);

  archive_chunk compressed(interrupt_checker& interrupts) const;

 private:
  column_kind kind_;
  std::vector<std::byte> bytes_;
  std::vector<std::size_t> part_begins_;
};

class contents_reader {
 public:
  // Errors as in hartonomous/archive.hpp. All further functions throw XX001 where the contents end too early.
  contents_reader(span<const std::byte> chunk, column_kind kind, std::size_t most_bytes, interrupt_checker& interrupts);

  std::size_t count() const noexcept { return count_; }
  std::size_t left() const noexcept { return bytes_.size() - at_; }
  span<const std::byte> take(std::uint64_t size);
  std::uint64_t take_number(std::size_t width);
  std::vector<std::uint8_t> take_presence();
  std::vector<std::int64_t> take_integers(std::size_t count);
  void end() const;  // error XX001 if there is more

 private:
  std::vector<std::byte> bytes_;
  std::size_t count_ = 0;
  std::size_t at_ = 0;
};

// Error XX001.
[[noreturn]] void throw_damaged(const char* detail);

// The frame by itself, for fuzzing: contents that no writer made.
archive_chunk compress_contents(column_kind kind, span<const std::byte> contents, span<const std::size_t> part_begins,
                                interrupt_checker& interrupts);

}  // namespace hartonomous::archive
