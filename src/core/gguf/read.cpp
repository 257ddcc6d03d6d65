// Reads the header of a GGUF file, which may be malicious: memory is allocated only for bytes that really exist, never
// because of a count in the file.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

#include "bytes/file_kind.hpp"
#include "bytes/little_endian.hpp"
#include "bytes/text.hpp"
#include "gguf/internal.hpp"
#include "hartonomous/error.hpp"

namespace hartonomous {

using namespace gguf_detail;

namespace {

constexpr std::size_t buffer_bytes = std::size_t{64} << 10;
constexpr const char* malformed = sqlstate::invalid_binary_representation;

// Sequential, buffered; never reads beyond the end of the file.
class header_reader {
 public:
  header_reader(byte_source& source, interrupt_checker& interrupts)
      : source_(source),
        interrupts_(interrupts),
        size_(source.size()),
        buffer_(std::min<std::uint64_t>(buffer_bytes, size_)) {}

  std::uint64_t position() const noexcept { return position_; }
  std::uint64_t remaining() const noexcept { return size_ - position_; }

  void require(std::uint64_t count, const std::string& what) const {
    if (count > remaining()) {
      throw error(malformed, "GGUF: file is truncated in " + what,
                  "At byte " + std::to_string(position_) + " it needs " + std::to_string(count) +
                      " bytes more, but the file ends at " + std::to_string(size_) + ".");
    }
  }

  void read(char* to, std::size_t count, const std::string& what) {
    require(count, what);
    while (count > 0) {
      if (used_ == filled_) refill();
      std::size_t const part = std::min(count, filled_ - used_);
      std::memcpy(to, buffer_.data() + used_, part);
      to += part;
      count -= part;
      used_ += part;
      position_ += part;
    }
  }

  template <class T>
  T number(const std::string& what) {
    char bytes[sizeof(T)];
    read(bytes, sizeof(T), what);
    return load_le<T>(bytes);
  }

  // Appends `count` bytes, which the caller knows to exist and to be within the metadata limit.
  void append(std::string& out, std::uint64_t count, const std::string& what) {
    require(count, what);
    std::size_t const start = out.size();
    out.resize(start + count);
    read(out.data() + start, count, what);
  }

 private:
  void refill() {
    interrupts_.check();
    filled_ = std::min<std::uint64_t>(buffer_.size(), remaining());
    used_ = 0;
    source_.read(position_, buffer_.data(), filled_);
  }

  byte_source& source_;
  interrupt_checker& interrupts_;
  std::uint64_t size_;
  std::uint64_t position_ = 0;
  std::vector<char> buffer_;
  std::size_t used_ = 0;
  std::size_t filled_ = 0;
};

class header_parser {
 public:
  header_parser(byte_source& source, interrupt_checker& interrupts)
      : source_(source), interrupts_(interrupts), in_(source, interrupts) {}

  gguf_file parse() {
    file_.file_size = source_.size();
    read_fixed();
    for (std::uint64_t i = 0; i < kv_count_; ++i) read_kv(i);
    check_metadata(file_, malformed);
    for (std::uint64_t i = 0; i < tensor_count_; ++i) read_tensor(i);
    check_tensor_names(file_.tensors, malformed);
    locate_tensors();
    file_.canonical = is_running_sum() && is_zero_padded();
    return std::move(file_);
  }

 private:
  void read_fixed();
  void read_kv(std::uint64_t index);
  void read_elements(gguf_kv& kv, const std::string& what);
  void read_string_element(gguf_kv& kv, const std::string& what);
  gguf_type read_type(const std::string& key);
  void count_metadata(std::uint64_t bytes);
  void read_tensor(std::uint64_t index);
  [[noreturn]] static void refuse_type(const gguf_tensor& tensor);
  void measure_unknown(std::uint64_t room);
  void locate_tensors();
  void check_overlap() const;
  bool is_running_sum() const;
  bool is_zero_padded();
  bool is_zero(std::uint64_t from, std::uint64_t to);

  byte_source& source_;
  interrupt_checker& interrupts_;
  header_reader in_;
  gguf_file file_;
  std::uint64_t tensor_count_ = 0;
  std::uint64_t kv_count_ = 0;
  std::uint64_t metadata_bytes_ = 0;
  std::uint64_t header_end_ = 0;
};

void check_count(std::uint64_t count, std::uint64_t smallest, std::uint64_t remaining, std::uint64_t limit,
                 const char* what) {
  if (count > remaining / smallest) {
    throw error(malformed, std::string("GGUF: ") + what + " count does not fit the file",
                "The count is " + std::to_string(count) + ", each needs at least " + std::to_string(smallest) +
                    " bytes, and " + std::to_string(remaining) + " are left.");
  }
  if (count > limit) {
    throw error(sqlstate::program_limit_exceeded, std::string("GGUF: ") + what + " count is beyond the limit",
                "The count is " + std::to_string(count) + "; the limit is " + std::to_string(limit) + ".");
  }
}

void header_parser::read_fixed() {
  char magic[4];
  in_.read(magic, sizeof magic, "the magic");
  if (std::memcmp(magic, "GGUF", 4) != 0) {
    std::string const detail = "The file starts with " + show_name({magic, 4}) + " instead of \"GGUF\".";
    refuse_recognized(source_, "GGUF", detail);
    throw error(malformed, "GGUF: bad magic", detail);
  }
  file_.version = in_.number<std::uint32_t>("the version");
  if (file_.version != 0 && (file_.version & 0xffff) == 0) {
    throw error(malformed, "GGUF: wrong endianness", "The version reads as " + std::to_string(file_.version) + ".",
                "The file was written for a big-endian machine; convert it to little-endian.");
  }
  if (file_.version != 2 && file_.version != 3) {
    throw error(malformed, "GGUF: version " + std::to_string(file_.version) + " is not supported",
                "Versions 2 and 3 are.");
  }
  tensor_count_ = in_.number<std::uint64_t>("the tensor count");
  kv_count_ = in_.number<std::uint64_t>("the metadata count");
  // The smallest key: length, one byte, type, one-byte value. The smallest tensor: empty name, no dimension.
  check_count(kv_count_, 8 + 1 + 4 + 1, in_.remaining(), gguf_max_keys, "metadata");
  check_count(tensor_count_, 8 + 4 + 4 + 8, in_.remaining(), gguf_max_tensors, "tensor");
}

// Called before memory for the bytes is allocated.
void header_parser::count_metadata(std::uint64_t bytes) {
  metadata_bytes_ += bytes;
  if (bytes > gguf_max_metadata_bytes || metadata_bytes_ > gguf_max_metadata_bytes) {
    throw error(sqlstate::program_limit_exceeded, "GGUF: metadata is beyond the limit",
                "The limit is " + std::to_string(gguf_max_metadata_bytes) + " bytes.");
  }
}

gguf_type header_parser::read_type(const std::string& key) {
  const auto id = in_.number<std::uint32_t>("the type of metadata key " + key);
  if (type_name(id) == nullptr) {
    throw error(malformed, "GGUF: metadata key " + key + " has an unknown type",
                "Its type is " + std::to_string(id) + ".");
  }
  return static_cast<gguf_type>(id);
}

void header_parser::read_kv(std::uint64_t index) {
  std::string const where = "metadata key number " + std::to_string(index + 1);
  gguf_kv kv;
  const auto length = in_.number<std::uint64_t>(where);
  in_.require(length, where);
  if (length > gguf_max_key_length) {
    throw error(malformed, "GGUF: a metadata key is too long",
                "Key number " + std::to_string(index + 1) + " has " + std::to_string(length) + " bytes; the limit is " +
                    std::to_string(gguf_max_key_length) + ".");
  }
  count_metadata(length);
  in_.append(kv.key, length, where);
  check_key(kv.key, malformed);
  std::string const key = show_name(kv.key);
  kv.type = kv.element = read_type(key);
  kv.count = 1;
  std::string const what = "metadata key " + key;
  if (kv.type == gguf_type::array) {
    kv.element = read_type(key);
    if (kv.element == gguf_type::array) throw error(malformed, "GGUF: " + what + " is a nested array");
    kv.count = in_.number<std::uint64_t>(what);
  }
  read_elements(kv, what);
  file_.kv.push_back(std::move(kv));
}

void header_parser::read_elements(gguf_kv& kv, const std::string& what) {
  std::size_t const width = type_width(kv.element);
  std::size_t const smallest = width == 0 ? 8 : width;
  if (kv.count > in_.remaining() / smallest) {
    throw error(malformed, "GGUF: " + what + " does not fit the file",
                std::to_string(kv.count) + " elements of type " + type_name(kv.element) + " need more than the " +
                    std::to_string(in_.remaining()) + " bytes left.");
  }
  if (width == 0) {
    for (std::uint64_t i = 0; i < kv.count; ++i) read_string_element(kv, what);
    return;
  }
  count_metadata(kv.count * width);
  in_.append(kv.payload, kv.count * width, what);
  if (kv.element != gguf_type::boolean) return;
  for (const char byte : kv.payload) {
    if (byte != 0 && byte != 1) {
      throw error(malformed, "GGUF: " + what + " holds an invalid bool",
                  "Its byte is " + std::to_string(static_cast<unsigned char>(byte)) + " instead of 0 or 1.");
    }
  }
}

void header_parser::read_string_element(gguf_kv& kv, const std::string& what) {
  const auto length = in_.number<std::uint64_t>(what);
  in_.require(length, what);
  count_metadata(8);
  count_metadata(length);
  append_le(kv.payload, length, 8);
  in_.append(kv.payload, length, what);
}

void header_parser::read_tensor(std::uint64_t index) {
  if (index % 1024 == 0) interrupts_.check();
  std::string where = "tensor number " + std::to_string(index + 1);
  gguf_tensor tensor;
  const auto length = in_.number<std::uint64_t>(where);
  in_.require(length, where);
  if (length > gguf_max_tensor_name_length) {
    throw error(malformed, "GGUF: a tensor name is too long",
                "The name of " + where + " has " + std::to_string(length) + " bytes; the limit is " +
                    std::to_string(gguf_max_tensor_name_length) + ".");
  }
  in_.append(tensor.name, length, where);
  where = "tensor " + show_name(tensor.name);
  const auto rank = in_.number<std::uint32_t>(where);
  if (rank > 4) {
    throw error(malformed, "GGUF: " + where + " has an invalid number of dimensions",
                "It has " + std::to_string(rank) + "; up to 4 are allowed.");
  }
  for (std::uint32_t d = 0; d < rank; ++d) tensor.dims.push_back(in_.number<std::uint64_t>(where));
  const auto type = in_.number<std::uint32_t>(where);
  tensor.type = static_cast<format>(type);
  if (type > gguf_largest_type && is_unknown_type(tensor.type)) refuse_type(tensor);
  tensor.offset = in_.number<std::uint64_t>(where);  // relative to the data; made absolute by locate_tensors()
  if (tensor.offset % file_.alignment != 0) {
    throw error(malformed, "GGUF: " + where + " is not aligned",
                "Its offset is " + std::to_string(tensor.offset) + "; the alignment is " +
                    std::to_string(file_.alignment) + ".");
  }
  measure_tensor(tensor, malformed);
  file_.tensors.push_back(std::move(tensor));
}

[[noreturn]] void header_parser::refuse_type(const gguf_tensor& tensor) {
  throw error(malformed,
              "GGUF: tensor " + show_name(tensor.name) + " is in format " +
                  std::to_string(static_cast<std::uint32_t>(tensor.type)) + ", which is unknown",
              "Its blocks cannot be carried, for their size is not known.");
}

// Blocks of an unknown type reach as far as the next tensor, or the end of the file.
void header_parser::measure_unknown(std::uint64_t room) {
  std::vector<std::uint64_t> ends = {room};
  for (const gguf_tensor& tensor : file_.tensors) ends.push_back(tensor.offset);
  std::sort(ends.begin(), ends.end());
  for (gguf_tensor& tensor : file_.tensors) {
    if (!is_unknown_type(tensor.type) || tensor.weights == 0) continue;
    const auto next = std::upper_bound(ends.begin(), ends.end(), tensor.offset);
    if (next == ends.end() || *next > room) refuse_type(tensor);
    tensor.bytes = *next - tensor.offset;
  }
}

void header_parser::locate_tensors() {
  header_end_ = in_.position();
  file_.data_start = round_up(header_end_, file_.alignment);
  std::uint64_t const room = file_.data_start > file_.file_size ? 0 : file_.file_size - file_.data_start;
  measure_unknown(room);
  for (gguf_tensor& tensor : file_.tensors) {
    if (tensor.offset > room || tensor.bytes > room - tensor.offset) {
      throw error(malformed, "GGUF: tensor " + show_name(tensor.name) + " lies outside the file",
                  "Its " + std::to_string(tensor.bytes) + " bytes start " + std::to_string(tensor.offset) +
                      " into the data, which has " + std::to_string(room) + " bytes.");
    }
    tensor.offset += file_.data_start;
  }
  check_overlap();
}

void header_parser::check_overlap() const {
  std::vector<const gguf_tensor*> order;
  order.reserve(file_.tensors.size());
  for (const gguf_tensor& tensor : file_.tensors) order.push_back(&tensor);
  // An empty tensor may have the same offset as the following one.
  std::sort(order.begin(), order.end(), [](const gguf_tensor* a, const gguf_tensor* b) {
    return std::pair(a->offset, a->bytes) < std::pair(b->offset, b->bytes);
  });
  for (std::size_t i = 1; i < order.size(); ++i) {
    const gguf_tensor& low = *order[i - 1];
    const gguf_tensor& high = *order[i];
    if (low.offset + low.bytes > high.offset) {
      throw error(malformed, "GGUF: tensors " + show_name(low.name) + " and " + show_name(high.name) + " overlap",
                  "The first ends at byte " + std::to_string(low.offset + low.bytes) +
                      " of the file, the second starts at " + std::to_string(high.offset) + ".");
    }
  }
}

bool header_parser::is_running_sum() const {
  std::uint64_t expected = file_.data_start;
  for (const gguf_tensor& tensor : file_.tensors) {
    if (tensor.offset != expected) return false;
    // Tensors lie inside the file and the alignment has 32 bits, so this cannot overflow.
    expected += round_up(tensor.bytes, file_.alignment);
  }
  return expected == file_.file_size;
}

bool header_parser::is_zero_padded() {
  if (!is_zero(header_end_, file_.data_start)) return false;
  for (const gguf_tensor& tensor : file_.tensors) {
    std::uint64_t const end = tensor.offset + tensor.bytes;
    if (!is_zero(end, round_up(end, file_.alignment))) return false;
  }
  return true;
}

bool header_parser::is_zero(std::uint64_t from, std::uint64_t to) {
  if (from == to) return true;
  std::vector<char> bytes(std::min<std::uint64_t>(to - from, buffer_bytes));
  while (from < to) {
    interrupts_.check();
    std::size_t const part = std::min<std::uint64_t>(to - from, bytes.size());
    source_.read(from, bytes.data(), part);
    if (std::any_of(bytes.begin(), bytes.begin() + part, [](char byte) { return byte != 0; })) return false;
    from += part;
  }
  return true;
}

}  // namespace

gguf_file read_gguf_header(byte_source& source, interrupt_checker& interrupts) {
  return header_parser(source, interrupts).parse();
}

}  // namespace hartonomous
