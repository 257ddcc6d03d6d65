// Reading a checkpoint's tensors in GGUF's layout (tensors.hpp).
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "bytes/little_endian.hpp"
#include "checkpoint/tensors.hpp"
#include "hartonomous/half.hpp"

namespace hartonomous::checkpoint_detail {

namespace {

// Hugging Face rotates the two halves of a head against each other, GGUF's llama adjacent numbers, so the order of rows
// differs. Returns the row in the file of row `i` in GGUF's order.
std::uint64_t file_row(std::uint64_t i, std::uint32_t head_width) noexcept {
  std::uint64_t const within = i % head_width;
  return i - within + within % 2 * (head_width / 2) + within / 2;
}

// Whether the bytes in the file are those of the model.
bool is_unchanged(const tensor_origin& origin) noexcept {
  return is_float(origin.stored) && carried_as(origin.stored) == origin.carried && !origin.scales;
}

}  // namespace

tensor_data::tensor_data(std::vector<byte_source*> files, std::vector<tensor_origin> origins)
    : files_(std::move(files)), origins_(std::move(origins)) {
  if (!origins_.empty()) size_ = origins_.back().begin + origins_.back().bytes;
}

void tensor_data::read(std::uint64_t offset, void* to, std::size_t count) {
  auto* out = static_cast<char*>(to);
  auto origin = std::upper_bound(origins_.begin(), origins_.end(), offset,
                                 [](std::uint64_t at, const tensor_origin& o) { return at < o.begin + o.bytes; });
  for (; count > 0; ++origin) {
    std::uint64_t const at = offset - origin->begin;
    const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(count, origin->bytes - at));
    read_from(*origin, at, out, part);
    out += part;
    offset += part;
    count -= part;
  }
}

// Rows are read one by one if their order differs, and converted in pieces of them. Vectors, which are not reordered,
// and matrices without scales or another order count as a single row.
void tensor_data::read_from(const tensor_origin& origin, std::uint64_t at, char* to, std::size_t count) {
  if (!origin.made.empty()) {
    std::memcpy(to, origin.made.data() + at, count);
    return;
  }
  std::size_t const width = traits_of(origin.carried).block_bytes;
  const bool by_rows = origin.head_width != 0 || origin.scales.has_value();
  std::uint64_t const row_bytes = by_rows ? origin.columns * width : origin.bytes;
  constexpr std::uint64_t piece = 65536;  // elements that are converted at once
  while (count > 0) {
    std::uint64_t const row = at / row_bytes;
    std::uint64_t const within = at % row_bytes;
    std::uint64_t const from = origin.head_width == 0 ? row : file_row(row, origin.head_width);
    auto part = static_cast<std::size_t>(std::min<std::uint64_t>(count, row_bytes - within));
    if (is_unchanged(origin)) {
      files_[origin.file]->read(origin.offset + from * row_bytes + within, to, part);
    } else {
      std::uint64_t const first = within / width;
      part = static_cast<std::size_t>(std::min<std::uint64_t>(part, (first + piece) * width - within));
      const auto elements = static_cast<std::size_t>((within + part + width - 1) / width - first);
      read_elements(origin, from, first, elements);
      std::memcpy(to, carried_.data() + (within - first * width), part);
    }
    at += part;
    to += part;
    count -= part;
  }
}

// Leaves elements of a row, converted, in carried_.
void tensor_data::read_elements(const tensor_origin& origin, std::uint64_t row, std::uint64_t column,
                                std::size_t count) {
  std::size_t const width = bytes_of_number(origin.stored);
  stored_.resize(count * width);
  files_[origin.file]->read(origin.offset + (row * origin.columns + column) * width, stored_.data(), stored_.size());
  const float* factors = nullptr;
  if (origin.scales) factors = scales_of(origin).data() + row / origin.scales->block_rows * origin.scales->columns;
  carried_.clear();
  for (std::size_t i = 0; i < count; ++i) {
    float value = value_of(origin.stored, stored_.data() + i * width);
    if (factors != nullptr) value *= factors[(column + i) / origin.scales->block_columns];
    if (origin.carried == format::F32) {
      append_le(carried_, half_detail::bits_of(value), sizeof(float));
    } else {
      append_le(carried_, f32_to_bf16(value), sizeof(std::uint16_t));
    }
  }
}

const std::vector<float>& tensor_data::scales_of(const tensor_origin& origin) {
  if (scaled_ == &origin) return scales_;
  const scale_grid& grid = *origin.scales;
  std::size_t const width = bytes_of_number(grid.stored);
  std::string bytes(static_cast<std::size_t>(grid.rows * grid.columns) * width, '\0');
  files_[grid.file]->read(grid.offset, bytes.data(), bytes.size());
  scales_.clear();
  for (std::size_t at = 0; at < bytes.size(); at += width) scales_.push_back(value_of(grid.stored, bytes.data() + at));
  scaled_ = &origin;
  return scales_;
}

}  // namespace hartonomous::checkpoint_detail
