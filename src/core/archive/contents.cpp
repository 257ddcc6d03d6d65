// What columns of all kinds are made of: numbers, marks of NULL, integers (contents.hpp).
#include "archive/contents.hpp"

#include <algorithm>
#include <cstring>
#include <string>

#include "hartonomous/error.hpp"

namespace hartonomous::archive {
namespace {

// Small differences of either sign become small numbers.
std::uint64_t zigzag(std::uint64_t difference) { return difference << 1 ^ (~(difference >> 63) + 1); }
std::uint64_t unzigzag(std::uint64_t value) { return value >> 1 ^ (~(value & 1) + 1); }

std::size_t width_of(std::uint64_t largest) {
  std::size_t width = 1;
  while (width < 8 && largest >> (8 * width) != 0) ++width;
  return width;
}

constexpr std::size_t head_bytes = 5;

}  // namespace

contents_writer::contents_writer(column_kind kind, std::size_t count, std::size_t expected) : kind_(kind) {
  if (count > most_archived_values) {
    throw error(sqlstate::program_limit_exceeded, "too many values for a chunk of an archive",
                std::to_string(count) + " values; at most " + std::to_string(most_archived_values) + " fit.");
  }
  bytes_.reserve(head_bytes + expected);
  add_number(static_cast<std::uint64_t>(kind), 1);
  add_number(count, 4);
}

std::byte* contents_writer::add_planes(std::size_t size, std::size_t planes) {
  const std::size_t begin = bytes_.size();
  for (std::size_t plane = 0; plane < planes && size != 0; ++plane) part_begins_.push_back(begin + plane * size);
  bytes_.resize(begin + planes * size);
  return bytes_.data() + begin;
}

void contents_writer::add_number(std::uint64_t value, std::size_t width) {
  const std::size_t begin = bytes_.size();
  bytes_.resize(begin + width);
  for (std::size_t b = 0; b < width; ++b) bytes_[begin + b] = static_cast<std::byte>(value >> (8 * b));
}

void contents_writer::add_presence(span<const std::uint8_t> present, std::size_t count) {
  const bool some_missing = std::find(present.begin(), present.end(), 0) != present.end();
  add_number(some_missing ? 1 : 0, 1);
  if (!some_missing) return;
  std::byte* to = add_part(count);
  for (std::size_t i = 0; i < count; ++i) to[i] = std::byte{present[i] != 0};
}

void contents_writer::add_integers(span<const std::int64_t> values) {
  std::vector<std::uint64_t> differences(values.size());
  std::uint64_t before = 0;
  std::uint64_t largest = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto value = static_cast<std::uint64_t>(values[i]);
    differences[i] = zigzag(value - before);
    largest = std::max(largest, differences[i]);
    before = value;
  }
  const std::size_t width = width_of(largest);
  add_number(width, 1);
  std::byte* plane = add_planes(values.size(), width);
  for (std::size_t b = 0; b < width; ++b, plane += values.size()) {
    for (std::size_t i = 0; i < values.size(); ++i) plane[i] = static_cast<std::byte>(differences[i] >> (8 * b));
  }
}

span<const std::byte> contents_reader::take(std::uint64_t size) {
  if (size > bytes_.size() - at_) throw_damaged("Its contents end too early.");
  const span<const std::byte> taken(bytes_.data() + at_, static_cast<std::size_t>(size));
  at_ += taken.size();
  return taken;
}

std::uint64_t contents_reader::take_number(std::size_t width) {
  const span<const std::byte> taken = take(width);
  std::uint64_t value = 0;
  for (std::size_t b = 0; b < width; ++b) value |= std::to_integer<std::uint64_t>(taken[b]) << (8 * b);
  return value;
}

std::vector<std::uint8_t> contents_reader::take_presence() {
  const std::uint64_t some_missing = take_number(1);
  if (some_missing > 1) throw_damaged("Its marks of NULL are neither there nor missing.");
  if (some_missing == 0) return {};
  const span<const std::byte> taken = take(count_);
  std::vector<std::uint8_t> present(count_);
  for (std::size_t i = 0; i < count_; ++i) present[i] = std::to_integer<std::uint8_t>(taken[i]);
  return present;
}

std::vector<std::int64_t> contents_reader::take_integers(std::size_t count) {
  const auto width = static_cast<std::size_t>(take_number(1));
  if (width < 1 || width > 8) throw_damaged("Its integers have a width that does not exist.");
  const span<const std::byte> planes = take(std::uint64_t{width} * count);
  std::vector<std::int64_t> values(count);
  std::uint64_t before = 0;
  for (std::size_t i = 0; i < count; ++i) {
    std::uint64_t difference = 0;
    for (std::size_t b = 0; b < width; ++b) {
      difference |= std::to_integer<std::uint64_t>(planes[b * count + i]) << (8 * b);
    }
    before += unzigzag(difference);
    values[i] = static_cast<std::int64_t>(before);
  }
  return values;
}

void contents_reader::end() const {
  if (at_ != bytes_.size()) throw_damaged("It has more than its contents.");
}

}  // namespace hartonomous::archive
