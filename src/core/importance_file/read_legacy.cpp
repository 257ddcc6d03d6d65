// Reading importance matrices in the legacy format (importance_file.hpp). It has no magic and no checksum, so that only
// a file that is used up to its last byte is accepted.
#include <algorithm>
#include <cstdint>

#include "bytes/file_kind.hpp"
#include "bytes/little_endian.hpp"
#include "bytes/text.hpp"
#include "importance_file/internal.hpp"

namespace hartonomous::importance_detail {

namespace {

constexpr std::uint64_t max_dataset_length = 65535;

class legacy_reader {
 public:
  legacy_reader(byte_source& source, interrupt_checker& interrupts)
      : source_(source), interrupts_(interrupts), size_(source.size()) {}

  importance_file read() {
    importance_file file;
    file.format = importance_format::legacy;
    const std::int64_t entries = number("the number of entries");
    require_count(entries);
    for (std::int64_t i = 0; i < entries; ++i) {
      if (i % 64 == 0) interrupts_.check();
      file.entries.push_back(read_entry(i + 1));
    }
    read_end(file);
    sort_entries(file);
    return file;
  }

 private:
  std::uint64_t remaining() const noexcept { return size_ - position_; }

  void require(std::uint64_t count, const std::string& what) {
    if (count <= remaining()) return;
    refuse("the file is truncated in " + what, "At byte " + std::to_string(position_) + " it needs " +
                                                   std::to_string(count) + " bytes more, but the file ends at " +
                                                   std::to_string(size_) + ".");
  }

  std::int32_t number(const std::string& what) {
    char bytes[4];
    require(sizeof bytes, what);
    source_.read(position_, bytes, sizeof bytes);
    position_ += sizeof bytes;
    return load_le<std::int32_t>(bytes);
  }

  std::string text(std::uint64_t limit, const std::string& what) {
    const std::int32_t length = number(what);
    if (length < 0 || static_cast<std::uint64_t>(length) > limit) {
      refuse(what + " has an invalid length",
             "It is " + std::to_string(length) + "; the limit is " + std::to_string(limit) + ".");
    }
    require(static_cast<std::uint64_t>(length), what);
    std::string bytes(static_cast<std::size_t>(length), '\0');
    source_.read(position_, bytes.data(), bytes.size());
    position_ += bytes.size();
    return bytes;
  }

  // The first number is also the first that shows that a file is something else.
  void require_count(std::int64_t entries) {
    constexpr std::int64_t smallest = 4 + 1 + 4 + 4 + 4;
    const bool fits = entries > 0 && entries <= static_cast<std::int64_t>(remaining()) / smallest;
    if (fits && entries <= static_cast<std::int64_t>(importance_max_entries)) return;
    const std::string detail =
        "Read as one, it has " + std::to_string(entries) + " entries in " + std::to_string(size_) + " bytes.";
    const file_kind kind = recognize_file(source_);
    if (kind.name != nullptr) refuse(std::string("the file is ") + kind.name, detail, kind.hint);
    if (!fits) {
      refuse("the file has none", detail,
             "Files in the GGUF format begin with \"GGUF\"; all others are read as the "
             "legacy format of llama-imatrix.");
    }
    throw error(sqlstate::program_limit_exceeded, "importance matrix: too many entries",
                detail + " The limit is " + std::to_string(importance_max_entries) + ".");
  }

  importance_entry read_entry(std::int64_t ordinal) {
    const std::string where = "entry number " + std::to_string(ordinal);
    importance_entry entry;
    entry.name = text(gguf_max_tensor_name_length, "the name of " + where);
    if (entry.name.empty() || !is_pg_text(entry.name)) refuse("the name of " + where + " is invalid");
    const std::int32_t chunks = number(where);
    const std::int32_t values = number(where);
    if (values < 1) refuse(where + " has no values");
    entry.sums = static_cast<std::uint64_t>(values);
    // llama-quantize divides by the number of chunks only if it is positive.
    entry.counts = {chunks > 0 ? chunks : 1};
    entry.offset = position_;
    require(entry.sums * 4, where);
    position_ += entry.sums * 4;
    return entry;
  }

  void read_end(importance_file& file) {
    if (remaining() == 0) return;  // as old versions of llama-imatrix wrote it
    const std::int32_t chunks = number("the number of chunks");
    file.chunk_count = chunks > 0 ? static_cast<std::uint64_t>(chunks) : 0;
    if (remaining() > 0) {
      const std::string dataset = text(max_dataset_length, "the name of the data set");
      if (!dataset.empty()) file.datasets.push_back(dataset);
    }
    if (remaining() > 0) refuse(std::to_string(remaining()) + " bytes follow its end");
  }

  byte_source& source_;
  interrupt_checker& interrupts_;
  std::uint64_t size_;
  std::uint64_t position_ = 0;
};

}  // namespace

importance_file read_legacy(byte_source& source, interrupt_checker& interrupts) {
  return legacy_reader(source, interrupts).read();
}

}  // namespace hartonomous::importance_detail
