// Reading importance matrices: what both formats share (importance_file.hpp).
#include <algorithm>
#include <cmath>
#include <cstring>

#include "bytes/little_endian.hpp"
#include "bytes/text.hpp"
#include "importance_file/internal.hpp"

namespace hartonomous {

using namespace importance_detail;

namespace importance_detail {

void count_counts(std::uint64_t more, std::uint64_t& total) {
  if (more > importance_max_counts - total) {
    throw error(sqlstate::program_limit_exceeded, "importance matrix: it counts tokens of too many experts",
                "The limit is " + std::to_string(importance_max_counts) + " in all.");
  }
  total += more;
}

void sort_entries(importance_file& file) {
  const auto before = [](const importance_entry& a, const importance_entry& b) { return a.name < b.name; };
  std::sort(file.entries.begin(), file.entries.end(), before);
  for (std::size_t i = 1; i < file.entries.size(); ++i) {
    if (file.entries[i - 1].name == file.entries[i].name) {
      refuse("tensor " + show_name(file.entries[i].name) + " occurs twice");
    }
  }
}

}  // namespace importance_detail

importance_file read_importance_file(byte_source& source, interrupt_checker& interrupts) {
  char magic[4] = {};
  source.read(0, magic, std::min<std::uint64_t>(sizeof magic, source.size()));
  return std::memcmp(magic, "GGUF", sizeof magic) == 0 ? read_gguf(source, interrupts)
                                                       : read_legacy(source, interrupts);
}

void read_importance_sums(byte_source& source, const importance_entry& entry, span<float> to,
                          interrupt_checker& interrupts) {
  if (to.size() != entry.sums) {
    throw error(sqlstate::invalid_parameter_value, "the buffer for sums of squares has the wrong size");
  }
  constexpr std::size_t piece = 16384;
  std::vector<std::byte> bytes(std::min(piece, to.size()) * 4);
  for (std::size_t first = 0; first < to.size(); first += piece) {
    interrupts.check();
    const std::size_t count = std::min(piece, to.size() - first);
    source.read(entry.offset + first * 4, bytes.data(), count * 4);
    for (std::size_t i = 0; i < count; ++i) {
      const float sum = load_f32(&bytes[i * 4]);
      // A sum of squares is nonnegative; the comparison is also false for NaN.
      if (!(sum >= 0) || !std::isfinite(sum)) {
        refuse("tensor " + show_name(entry.name) + " has an invalid sum of squares",
               "Number " + std::to_string(first + i + 1) + " is " + std::to_string(sum) + ".");
      }
      to[first + i] = sum;
    }
  }
}

void mean_squares(span<const float> sums, span<const std::int64_t> counts, span<float> to) {
  if (counts.empty() || sums.size() % counts.size() != 0 || to.size() != sums.size()) {
    throw error(sqlstate::invalid_parameter_value, std::to_string(sums.size()) +
                                                       " sums of squares cannot be divided among " +
                                                       std::to_string(counts.size()) + " token counts");
  }
  const std::size_t columns = sums.size() / counts.size();
  for (std::size_t e = 0; e < counts.size(); ++e) {
    const auto count = static_cast<float>(counts[e]);
    for (std::size_t i = e * columns; i < (e + 1) * columns; ++i) to[i] = count > 0 ? sums[i] / count : 1.0F;
  }
}

}  // namespace hartonomous
