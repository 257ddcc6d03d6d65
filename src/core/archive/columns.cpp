// Columns of integers, reals and texts (hartonomous/archive.hpp).
#include <cmath>
#include <cstring>
#include <unordered_map>

#include "archive/contents.hpp"
#include "archive/planes.hpp"
#include "hartonomous/archive.hpp"

namespace hartonomous {

using namespace archive;

archive_chunk archive_integers(span<const std::int64_t> values, span<const std::uint8_t> present,
                               interrupt_checker& interrupts) {
  contents_writer contents(column_kind::integers, values.size(), 9 * values.size() + 2);
  contents.add_presence(present, values.size());
  contents.add_integers(values);
  return contents.compressed(interrupts);
}

archived_integers read_archived_integers(span<const std::byte> chunk, std::size_t most_bytes,
                                         interrupt_checker& interrupts) {
  contents_reader contents(chunk, column_kind::integers, most_bytes, interrupts);
  archived_integers read;
  read.present = contents.take_presence();
  read.values = contents.take_integers(contents.count());
  contents.end();
  return read;
}

archive_chunk archive_reals(span<const float> values, span<const std::uint8_t> present, interrupt_checker& interrupts) {
  const std::size_t count = values.size();
  contents_writer contents(column_kind::reals, count, 5 * count + 1);
  contents.add_presence(present, count);
  split_planes(words::of_32_bits, reinterpret_cast<const std::byte*>(values.data()), count,
               contents.add_planes(count, planes_of(words::of_32_bits)), count);
  return contents.compressed(interrupts);
}

archived_reals read_archived_reals(span<const std::byte> chunk, std::size_t most_bytes, interrupt_checker& interrupts) {
  contents_reader contents(chunk, column_kind::reals, most_bytes, interrupts);
  archived_reals read;
  read.present = contents.take_presence();
  const span<const std::byte> planes = contents.take(4 * std::uint64_t{contents.count()});
  contents.end();
  read.values.resize(contents.count());
  join_planes(words::of_32_bits, planes.data(), contents.count(), contents.count(),
              reinterpret_cast<std::byte*>(read.values.data()));
  return read;
}

reals_summary summary_of(const archived_reals& column) noexcept {
  const auto is_less = [](float a, float b) { return a < b || (std::isnan(b) && !std::isnan(a)); };
  const auto is_value = [&](std::size_t i) { return column.present.empty() || column.present[i] != 0; };
  reals_summary found;
  double sum = 0.0;
  for (std::size_t i = 0; i < column.values.size(); ++i) {
    if (!is_value(i)) continue;
    const float value = column.values[i];
    if (found.count == 0 || is_less(value, found.least)) found.least = value;
    if (found.count == 0 || is_less(found.greatest, value)) found.greatest = value;
    sum += static_cast<double>(value);
    ++found.count;
  }
  if (found.count == 0) return found;
  found.mean = sum / static_cast<double>(found.count);
  for (std::size_t i = 0; i < column.values.size(); ++i) {
    if (!is_value(i)) continue;
    const double distance = static_cast<double>(column.values[i]) - found.mean;
    found.squares += distance * distance;
  }
  return found;
}

archive_chunk archive_texts(span<const std::string_view> values, span<const std::uint8_t> present,
                            interrupt_checker& interrupts) {
  std::unordered_map<std::string_view, std::int64_t> numbers;
  std::vector<std::string_view> distinct;
  std::vector<std::int64_t> index(values.size());
  std::size_t size = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!present.empty() && present[i] == 0) continue;
    const auto [found, is_new] = numbers.try_emplace(values[i], static_cast<std::int64_t>(distinct.size()));
    if (is_new) {
      distinct.push_back(values[i]);
      size += values[i].size();
    }
    index[i] = found->second;
  }
  std::vector<std::int64_t> lengths;
  lengths.reserve(distinct.size());
  for (const std::string_view text : distinct) lengths.push_back(static_cast<std::int64_t>(text.size()));

  contents_writer contents(column_kind::texts, values.size(), size + 4 * distinct.size() + 5 * values.size() + 32);
  contents.add_presence(present, values.size());
  contents.add_number(distinct.size(), 4);
  contents.add_integers(lengths);
  std::byte* to = contents.add_part(size);
  for (const std::string_view text : distinct) {
    if (!text.empty()) std::memcpy(to, text.data(), text.size());
    to += text.size();
  }
  contents.add_integers(index);
  return contents.compressed(interrupts);
}

archived_texts read_archived_texts(span<const std::byte> chunk, std::size_t most_bytes, interrupt_checker& interrupts) {
  contents_reader contents(chunk, column_kind::texts, most_bytes, interrupts);
  archived_texts read;
  read.present = contents.take_presence();
  const std::uint64_t distinct = contents.take_number(4);
  if (distinct > contents.count()) throw_damaged("It has more distinct texts than texts.");
  const std::vector<std::int64_t> lengths = contents.take_integers(static_cast<std::size_t>(distinct));
  std::uint64_t size = 0;
  for (const std::int64_t length : lengths) {
    if (length < 0 || length > static_cast<std::int64_t>(most_archived_bytes)) throw_damaged("A text has no length.");
    size += static_cast<std::uint64_t>(length);
  }
  const span<const std::byte> bytes = contents.take(size);
  const std::vector<std::int64_t> index = contents.take_integers(contents.count());
  contents.end();

  read.bytes.assign(reinterpret_cast<const char*>(bytes.begin()), reinterpret_cast<const char*>(bytes.end()));
  read.distinct.reserve(lengths.size());
  const char* at = read.bytes.data();
  for (const std::int64_t length : lengths) {
    read.distinct.emplace_back(at, static_cast<std::size_t>(length));
    at += length;
  }
  read.index.resize(index.size());
  for (std::size_t i = 0; i < index.size(); ++i) {
    const bool missing = !read.present.empty() && read.present[i] == 0;
    if (!missing && static_cast<std::uint64_t>(index[i]) >= distinct) throw_damaged("It has no text of this number.");
    read.index[i] = missing ? 0 : static_cast<std::uint32_t>(index[i]);
  }
  return read;
}

}  // namespace hartonomous
