// Copying columns of stored rows (hartonomous/structures.hpp).
#include "hartonomous/codec.hpp"
#include "hartonomous/error.hpp"
#include "hartonomous/structures.hpp"

#include <algorithm>
#include <cstring>
#include <string>

namespace hartonomous {

void check_kept(span<const std::int32_t> kept, std::uint64_t of, const char* what) {
  if (kept.empty()) throw error(sqlstate::invalid_parameter_value, std::string("no ") + what + " would be kept");
  std::int64_t last = -1;
  for (const std::int32_t number : kept) {
    if (number <= last) {
      throw error(sqlstate::invalid_parameter_value,
                  std::string("the numbers of kept ") + what + " are not ascending from 0",
                  std::to_string(number) + " follows " + std::to_string(last) + ".");
    }
    last = number;
  }
  if (static_cast<std::uint64_t>(last) >= of) {
    throw error(sqlstate::invalid_parameter_value,
                std::string("there is none of the ") + what + " with number " + std::to_string(last),
                "There are " + std::to_string(of) + ", numbered from 0.");
  }
}

const stored_run* column_copier::run_of(std::uint64_t column) const noexcept {
  const stored_run* const after = std::upper_bound(row_.begin(), row_.end(), column,
                                                   [](std::uint64_t c, const stored_run& r) { return c < r.first; });
  if (after == row_.begin()) return nullptr;
  const stored_run* const run = after - 1;
  return column < run->first + run->count ? run : nullptr;
}

const stored_run* column_copier::source_of(span<const std::uint32_t> columns) const noexcept {
  for (const std::uint32_t column : columns) {
    if (const stored_run* run = run_of(column)) return run;
  }
  return nullptr;
}

// Copies the bytes of as many blocks as the first columns are in the same run of the source; returns the number of
// columns. A block that is incomplete at the end of its run can only become the end of another run.
std::size_t column_copier::copy_blocks(span<const std::uint32_t> columns, format f, std::byte* out) const {
  const format_traits& traits = traits_of(f);
  const stored_run* const run = run_of(columns[0]);
  if (run == nullptr || run->storage != f) return 0;
  const std::uint64_t from = columns[0] - run->first, length = traits.block_weights;
  if (from % length != 0) return 0;
  const std::size_t most = std::min<std::uint64_t>(columns.size(), run->count - from);
  std::size_t stretch = 1;
  while (stretch < most && columns[stretch] == columns[0] + stretch) ++stretch;
  const bool to_both_ends = stretch == columns.size() && stretch == run->count - from;
  if (!to_both_ends) stretch = stretch / length * length;
  std::memcpy(out, run->blocks.data() + from / length * traits.block_bytes,
              (stretch + length - 1) / length * traits.block_bytes);
  return stretch;
}

const std::vector<float>& column_copier::values(interrupt_checker& interrupts) {
  if (!values_.empty()) return values_;
  values_.assign(row_length_, 0.0F);
  for (const stored_run& run : row_) {
    dequantize(run.storage, run.blocks, run.count, values_.data() + run.first, interrupts);
  }
  return values_;
}

void column_copier::copy(span<const std::uint32_t> columns, format f, std::byte* out, interrupt_checker& interrupts) {
  const format_traits& traits = traits_of(f);
  const std::size_t length = traits.block_weights;
  std::vector<std::size_t> left;  // the blocks that cannot be copied
  for (std::size_t at = 0; at < columns.size();) {
    const std::size_t copied =
        copy_blocks(columns.subspan(at, columns.size() - at), f, out + at / length * traits.block_bytes);
    if (copied == 0) left.push_back(at);
    at += copied > 0 ? copied : length;
  }
  if (left.empty()) return;
  const std::vector<float>& row = values(interrupts);
  std::vector<float> block;
  for (const std::size_t at : left) {
    const std::size_t count = std::min(length, columns.size() - at);
    block.resize(count);
    for (std::size_t i = 0; i < count; ++i) block[i] = row[columns[at + i]];
    quantize(f, block, {}, out + at / length * traits.block_bytes, interrupts);
  }
}

}  // namespace hartonomous
