// Shared parts of reading and writing importance matrices.
#pragma once

#include <cstdint>
#include <string>

#include "hartonomous/error.hpp"
#include "hartonomous/importance_file.hpp"

namespace hartonomous::importance_detail {

inline constexpr char datasets_key[] = "imatrix.datasets";
inline constexpr char chunk_count_key[] = "imatrix.chunk_count";
inline constexpr char chunk_size_key[] = "imatrix.chunk_size";
inline constexpr char sums_suffix[] = ".in_sum2";
inline constexpr char counts_suffix[] = ".counts";

[[noreturn]] inline void refuse(const std::string& what, std::string detail = {}, std::string hint = {},
                                source_location thrown = source_location::current()) {
  throw error(sqlstate::invalid_binary_representation, "importance matrix: " + what, std::move(detail), std::move(hint),
              thrown);
}

importance_file read_gguf(byte_source& source, interrupt_checker& interrupts);
importance_file read_legacy(byte_source& source, interrupt_checker& interrupts);

// Adds the counts of an entry to the total, which has a limit (54000). Call it before they are read.
void count_counts(std::uint64_t more, std::uint64_t& total);

// The files may repeat a name, which llama.cpp would silently take from the last place.
void sort_entries(importance_file& file);

}  // namespace hartonomous::importance_detail
