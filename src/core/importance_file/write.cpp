// Writing importance matrices (importance_file.hpp).
#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

#include "bytes/little_endian.hpp"
#include "bytes/text.hpp"
#include "importance_file/internal.hpp"

namespace hartonomous {

using namespace importance_detail;

namespace {

constexpr std::uint64_t most = std::numeric_limits<std::int32_t>::max();

[[noreturn]] void cannot_write(const std::string& why, source_location thrown = source_location::current()) {
  throw error(sqlstate::invalid_parameter_value, "importance matrix: " + why, {}, {}, thrown);
}

std::int64_t largest(const std::vector<std::int64_t>& counts) noexcept {
  return *std::max_element(counts.begin(), counts.end());
}

void check_entry(const importance_entry& entry) {
  const bool fits = !entry.counts.empty() && entry.sums > 0 && entry.sums % entry.counts.size() == 0;
  if (!fits || entry.sums > most) {
    cannot_write("tensor " + show_name(entry.name) + " has " + std::to_string(entry.sums) + " sums of squares and " +
                 std::to_string(entry.counts.size()) + " token counts");
  }
  if (*std::min_element(entry.counts.begin(), entry.counts.end()) < 0) {
    cannot_write("tensor " + show_name(entry.name) + " has a negative token count");
  }
}

void append_f32(std::string& out, float value) { append_le(out, half_detail::bits_of(value), 4); }

std::vector<gguf_tensor_spec> tensors_of(const std::vector<importance_entry>& entries) {
  std::vector<gguf_tensor_spec> tensors;
  tensors.reserve(entries.size() * 2);
  for (const importance_entry& entry : entries) {
    const std::uint64_t experts = entry.counts.size();
    std::vector<std::uint64_t> sums = {entry.sums / experts}, counts = {1};
    // ggml writes no last dimension of size 1.
    if (experts > 1) {
      sums.push_back(experts);
      counts.push_back(experts);
    }
    tensors.push_back({entry.name + sums_suffix, std::move(sums), format::F32});
    tensors.push_back({entry.name + counts_suffix, std::move(counts), format::F32});
  }
  return tensors;
}

}  // namespace

importance_writer::importance_writer(byte_sink& sink, importance_file file) : sink_(sink), file_(std::move(file)) {
  if (file_.chunk_size == 0 || file_.chunk_size > most) cannot_write("the chunk size is out of range");
  for (const importance_entry& entry : file_.entries) check_entry(entry);
  if (file_.format == importance_format::legacy) {
    const auto is_empty = [](const importance_entry& entry) { return largest(entry.counts) == 0; };
    file_.entries.erase(std::remove_if(file_.entries.begin(), file_.entries.end(), is_empty), file_.entries.end());
  }
  if (file_.entries.empty()) cannot_write("there is nothing to write");
  sort_entries(file_);
  std::int64_t tokens = 0;
  for (const importance_entry& entry : file_.entries) tokens = std::max(tokens, largest(entry.counts));
  file_.chunk_count = static_cast<std::uint64_t>(tokens) / file_.chunk_size;
  if (file_.chunk_count >= most) cannot_write("there are too many chunks");
  if (file_.format == importance_format::gguf) {
    prepare_gguf();
  } else {
    prepare_legacy();
  }
}

void importance_writer::prepare_gguf() {
  gguf_metadata metadata;
  metadata.set_string("general.type", "imatrix");
  metadata.set_strings(datasets_key, file_.datasets);
  metadata.set_uint32(chunk_count_key, static_cast<std::uint32_t>(file_.chunk_count));
  metadata.set_uint32(chunk_size_key, static_cast<std::uint32_t>(file_.chunk_size));
  gguf_.emplace(sink_, std::move(metadata), tensors_of(file_.entries));
  file_size_ = gguf_->file_size();
}

// The format has room for one data set only.
void importance_writer::prepare_legacy() {
  if (file_.datasets.size() > 1) file_.datasets.erase(file_.datasets.begin(), file_.datasets.end() - 1);
  if (file_.datasets.empty()) file_.datasets.emplace_back();
  file_size_ = 4 + 4 + 4 + file_.datasets.back().size();
  for (const importance_entry& entry : file_.entries) file_size_ += 4 + entry.name.size() + 4 + 4 + 4 * entry.sums;
}

void importance_writer::write_header() {
  if (gguf_) {
    gguf_->write_header();
    return;
  }
  std::string bytes;
  append_le(bytes, file_.entries.size(), 4);
  sink_.write(bytes.data(), bytes.size());
}

void importance_writer::write_sums(span<const float> sums) {
  if (next_ == file_.entries.size() || sums.size() != file_.entries[next_].sums) {
    cannot_write("not the number of sums that the next entry has");
  }
  const importance_entry& entry = file_.entries[next_];
  if (gguf_) {
    write_gguf_sums(entry, sums);
  } else {
    write_legacy_sums(entry, sums);
  }
  ++next_;
}

void importance_writer::write_gguf_sums(const importance_entry& entry, span<const float> sums) {
  std::string bytes;
  bytes.reserve(sums.size() * 4);
  for (const float sum : sums) append_f32(bytes, sum);
  gguf_->begin_tensor(next_ * 2);
  gguf_->write(bytes.data(), bytes.size());
  gguf_->end_tensor();
  bytes.clear();
  for (const std::int64_t count : entry.counts) append_f32(bytes, static_cast<float>(count));
  gguf_->begin_tensor(next_ * 2 + 1);
  gguf_->write(bytes.data(), bytes.size());
  gguf_->end_tensor();
}

// Rounded up, so that it is not 0.
std::int64_t importance_writer::legacy_chunks(const importance_entry& entry) const noexcept {
  const auto size = static_cast<std::int64_t>(file_.chunk_size);
  const std::int64_t tokens = largest(entry.counts);
  return tokens / size + (tokens % size != 0 ? 1 : 0);
}

void importance_writer::write_legacy_sums(const importance_entry& entry, span<const float> sums) {
  std::string bytes;
  const std::int64_t chunks = legacy_chunks(entry);
  append_le(bytes, entry.name.size(), 4);
  bytes += entry.name;
  append_le(bytes, static_cast<std::uint64_t>(chunks), 4);
  append_le(bytes, entry.sums, 4);
  bytes.reserve(bytes.size() + sums.size() * 4);
  std::vector<float> means(sums.begin(), sums.end());
  mean_squares(sums, entry.counts, means);
  for (const float mean : means) append_f32(bytes, mean * static_cast<float>(chunks));
  sink_.write(bytes.data(), bytes.size());
}

void importance_writer::write_end() {
  if (next_ != file_.entries.size()) cannot_write("sums of squares are missing");
  if (gguf_) return;
  std::string bytes;
  append_le(bytes, file_.chunk_count, 4);
  append_le(bytes, file_.datasets.back().size(), 4);
  bytes += file_.datasets.back();
  sink_.write(bytes.data(), bytes.size());
}

}  // namespace hartonomous
