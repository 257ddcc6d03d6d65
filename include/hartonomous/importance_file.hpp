// Importance matrices of llama.cpp ("imatrix") in files: for each matrix of a model, the sum of squares of each column
// of its input, and the number of tokens that were summed. llama-quantize weights the errors of a column by the mean.
//
// Two formats, both little-endian (source: llama.cpp, tools/imatrix and common/imatrix-loader):
//   GGUF    general.type is "imatrix"; the keys imatrix.datasets, imatrix.chunk_count and imatrix.chunk_size; for each
//           matrix two F32 tensors, NAME.in_sum2 [columns, experts] and NAME.counts [1, experts]; one expert is no
//           dimension.
//   legacy  i32 number of entries; for each: i32 length, name, i32 chunks, i32 number of values, values (float: mean
//           times chunks); then, optionally, i32 number of chunks, i32 length, name of the data set.
//
// Errors: 22P03 for a malformed file, 54000 for one beyond the limits below, 22023 for what cannot be written.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "hartonomous/bytes.hpp"
#include "hartonomous/gguf.hpp"
#include "hartonomous/interrupt.hpp"
#include "hartonomous/span.hpp"

namespace hartonomous {

inline constexpr std::uint64_t importance_max_entries = std::uint64_t{1} << 19;
inline constexpr std::uint64_t importance_max_counts = std::uint64_t{1} << 22;  // of all entries together

enum class importance_format { gguf, legacy };

struct importance_entry {
  std::string name;                  // of the matrix; valid UTF-8 without NUL
  std::vector<std::int64_t> counts;  // tokens (legacy: chunks) of each expert, or one number for all; none negative
  std::uint64_t sums = 0;            // how many: experts x columns, one expert after the other
  std::uint64_t offset = 0;          // of the sums, in a file that was read
};

struct importance_file {
  importance_format format = importance_format::gguf;
  std::vector<std::string> datasets;  // in order; may be empty
  std::uint64_t chunk_count = 0;
  std::uint64_t chunk_size = 0;           // tokens; 0 if the file does not say
  std::vector<importance_entry> entries;  // ordered by name; no name occurs twice
};

// Reads and checks everything but the sums. What it keeps is bounded by the limits above and those of gguf.hpp.
importance_file read_importance_file(byte_source& source, interrupt_checker& interrupts);

// Reads the sums of an entry; `to` has entry.sums elements. 22P03 if one is negative, NaN or infinite.
void read_importance_sums(byte_source& source, const importance_entry& entry, span<float> to,
                          interrupt_checker& interrupts);

// The importance of each column as llama-quantize computes it: sum / count in float32, and 1 where the count is 0,
// which is an expert that no token was routed to. There may be one count for all sums, or one for each equal part of
// them; 22023 otherwise. `to` may be `sums`.
void mean_squares(span<const float> sums, span<const std::int64_t> counts, span<float> to);

// Writes a file front to back: write_header(), then write_sums() for each of entries() in order, then write_end(). The
// bytes are those of llama-imatrix with the same statistics.
class importance_writer {
 public:
  // Of `file`, offsets and chunk_count are ignored: there are as many chunks as fit in the largest count. In the legacy
  // format, entries without any token are left out. 22023 if there is nothing to write, the chunk size is 0, the counts
  // do not divide the sums, or a number does not fit the format. `sink` must outlive the writer.
  importance_writer(byte_sink& sink, importance_file file);

  const std::vector<importance_entry>& entries() const noexcept { return file_.entries; }
  std::uint64_t chunk_count() const noexcept { return file_.chunk_count; }
  std::uint64_t file_size() const noexcept { return file_size_; }

  void write_header();
  void write_sums(span<const float> sums);  // of the next entry; 22023 if the number is not that of the entry
  void write_end();                         // 22023 if entries are missing

 private:
  void prepare_gguf();
  void prepare_legacy();
  void write_gguf_sums(const importance_entry& entry, span<const float> sums);
  void write_legacy_sums(const importance_entry& entry, span<const float> sums);
  std::int64_t legacy_chunks(const importance_entry& entry) const noexcept;

  byte_sink& sink_;
  importance_file file_;
  std::optional<gguf_writer> gguf_;
  std::uint64_t file_size_ = 0;
  std::size_t next_ = 0;
};

}  // namespace hartonomous
