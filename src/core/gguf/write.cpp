// Writes GGUF files like ggml's own writer: offsets are running sums, all padding is zero.
#include <algorithm>
#include <cstdint>
#include <utility>

#include "bytes/little_endian.hpp"
#include "bytes/text.hpp"
#include "gguf/internal.hpp"
#include "hartonomous/error.hpp"

namespace hartonomous {

using namespace gguf_detail;

namespace {

constexpr const char* invalid = sqlstate::invalid_parameter_value;

void append_string(std::string& out, std::string_view text) {
  append_le(out, text.size(), 8);
  out += text;
}

[[noreturn]] void out_of_order(const char* call, source_location thrown = source_location::current()) {
  throw error(invalid, std::string("GGUF: ") + call + " called out of order", {}, {}, thrown);
}

[[noreturn]] void too_large(source_location thrown = source_location::current()) {
  throw error(sqlstate::program_limit_exceeded, "GGUF: file is too large", {}, {}, thrown);
}

// offset + bytes, rounded up; must be within 63 bits.
std::uint64_t advance(std::uint64_t offset, std::uint64_t bytes, std::uint64_t alignment) {
  if (bytes > max_offset - alignment || offset > max_offset - alignment - bytes) too_large();
  return round_up(offset + bytes, alignment);
}

}  // namespace

gguf_writer::gguf_writer(byte_sink& sink, gguf_metadata metadata, const std::vector<gguf_tensor_spec>& tensors)
    : sink_(sink), metadata_(std::move(metadata)) {
  check_metadata(metadata_, invalid);
  std::uint64_t header = fixed_header_bytes;
  for (const gguf_kv& kv : metadata_.kv) {
    check_payload(kv, invalid);
    header += kv_bytes(kv);
  }
  for (const gguf_tensor_spec& spec : tensors) {
    gguf_tensor tensor;
    tensor.name = spec.name;
    tensor.dims = spec.dims;
    tensor.type = spec.type;
    measure_tensor(tensor, invalid);
    if (is_unknown_type(tensor.type)) {
      tensor.bytes = spec.bytes;
      if (tensor.bytes == 0 && tensor.weights != 0) {
        throw error(invalid, "GGUF: tensor " + show_name(tensor.name) + " has an unknown type");
      }
    }
    header += tensor_info_bytes(tensor);
    tensors_.push_back(std::move(tensor));
  }
  check_tensor_names(tensors_, invalid);
  data_start_ = round_up(header, metadata_.alignment);
  file_size_ = data_start_;
  for (gguf_tensor& tensor : tensors_) {
    tensor.offset = file_size_;
    file_size_ = advance(file_size_, tensor.bytes, metadata_.alignment);
  }
}

void gguf_writer::emit(const std::string& bytes) {
  sink_.write(bytes.data(), bytes.size());
  position_ += bytes.size();
}

void gguf_writer::pad_to(std::uint64_t offset) {
  std::string const zeros(std::min<std::uint64_t>(offset - position_, 4096), '\0');
  while (position_ < offset) {
    std::size_t const part = std::min<std::uint64_t>(offset - position_, zeros.size());
    sink_.write(zeros.data(), part);
    position_ += part;
  }
}

void gguf_writer::write_header() {
  if (header_written_) out_of_order("write_header()");
  std::string out = "GGUF";
  append_le(out, metadata_.version, 4);
  append_le(out, tensors_.size(), 8);
  append_le(out, metadata_.kv.size(), 8);
  for (const gguf_kv& kv : metadata_.kv) {
    append_string(out, kv.key);
    append_le(out, static_cast<std::uint32_t>(kv.type), 4);
    if (kv.type == gguf_type::array) {
      append_le(out, static_cast<std::uint32_t>(kv.element), 4);
      append_le(out, kv.count, 8);
    }
    emit(out);
    emit(kv.payload);
    out.clear();
  }
  for (const gguf_tensor& tensor : tensors_) {
    append_string(out, tensor.name);
    append_le(out, tensor.dims.size(), 4);
    for (std::uint64_t const dim : tensor.dims) append_le(out, dim, 8);
    append_le(out, static_cast<std::uint32_t>(tensor.type), 4);
    append_le(out, tensor.offset - data_start_, 8);
  }
  emit(out);
  pad_to(data_start_);
  header_written_ = true;
}

void gguf_writer::begin_tensor(std::size_t index) {
  if (!header_written_ || open_ || index != next_ || index >= tensors_.size()) out_of_order("begin_tensor()");
  open_ = true;
}

void gguf_writer::write(const void* from, std::size_t count) {
  if (!open_) out_of_order("write()");
  const gguf_tensor& tensor = tensors_[next_];
  std::uint64_t const end = tensor.offset + tensor.bytes;
  if (count > end - position_) {
    throw error(invalid, "GGUF: tensor " + show_name(tensor.name) + " is given too many bytes",
                "Its shape needs " + std::to_string(tensor.bytes) + "; it got at least " +
                    std::to_string(position_ - tensor.offset + count) + ".");
  }
  sink_.write(from, count);
  position_ += count;
}

void gguf_writer::end_tensor() {
  if (!open_) out_of_order("end_tensor()");
  const gguf_tensor& tensor = tensors_[next_];
  if (position_ != tensor.offset + tensor.bytes) {
    throw error(invalid, "GGUF: tensor " + show_name(tensor.name) + " is given too few bytes",
                "Its shape needs " + std::to_string(tensor.bytes) + "; it got " +
                    std::to_string(position_ - tensor.offset) + ".");
  }
  pad_to(next_ + 1 < tensors_.size() ? tensors_[next_ + 1].offset : file_size_);
  open_ = false;
  ++next_;
}

}  // namespace hartonomous
