// Parses the JSON header of a safetensors file with a SAX handler for its only shape, so that no document tree is
// built.
#include <algorithm>
#include <cstdint>
#include <utility>

#include "bytes/text.hpp"
#include "hartonomous/error.hpp"
#include "safetensors/internal.hpp"

#include <nlohmann/json.hpp>

namespace hartonomous {

namespace safetensors_detail {

namespace {

constexpr const char* malformed = sqlstate::invalid_binary_representation;
constexpr int max_depth = 32;  // of skipped members

[[noreturn]] void refuse(const std::string& what, std::string detail = {},
                         source_location thrown = source_location::current()) {
  throw error(malformed, "safetensors: " + what, std::move(detail), {}, thrown);
}

// Where in the document the next event belongs.
enum class place {
  start,
  root,
  metadata,
  metadata_open,
  tensor,
  tensor_open,
  dtype,
  shape,
  shapes,
  offsets,
  offset_pair,
  skipped
};

class header_handler : public nlohmann::json_sax<nlohmann::json> {
 public:
  header_handler(parsed_header& out, interrupt_checker& interrupts) : out_(out), interrupts_(interrupts) {}

  bool null() override {
    // The reference implementation reads "__metadata__": null as no metadata.
    if (place_ == place::metadata) {
      place_ = place::root;
      return true;
    }
    return other("null");
  }
  bool boolean(bool) override { return other("a boolean"); }
  bool number_integer(number_integer_t) override { return other("a negative number"); }
  bool number_float(number_float_t, const string_t&) override { return other("a fractional number"); }
  bool binary(binary_t&) override { return other("binary data"); }
  bool number_unsigned(number_unsigned_t value) override;
  bool string(string_t& text) override;
  bool start_object(std::size_t) override;
  bool key(string_t& name) override;
  bool end_object() override;
  bool start_array(std::size_t) override;
  bool end_array() override;
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    refuse("header is not valid JSON", "The error is at byte " + std::to_string(position) + " of the header.");
  }

 private:
  enum : unsigned { has_dtype = 1, has_shape = 2, has_offsets = 4, has_all = 7 };

  // A value for which the shape of a header has no place.
  bool other(const char* what) {
    if (place_ != place::skipped) refuse(where() + " holds " + what + " where none is allowed");
    return skipped_one();
  }
  // A skipped member ends with its value, or with its closing bracket.
  bool skipped_one() {
    if (depth_ == 0) place_ = place::tensor_open;
    return true;
  }
  bool open_skipped() {
    if (++depth_ > max_depth) refuse(where() + " is nested too deeply");
    return true;
  }
  bool close_skipped() {
    --depth_;
    return skipped_one();
  }
  bool in_tensor() const { return place_ >= place::tensor; }
  std::string where() const { return in_tensor() ? "tensor " + show_name(tensor().name) : "header"; }
  safetensors_tensor& tensor() { return out_.tensors.back(); }
  const safetensors_tensor& tensor() const { return out_.tensors.back(); }
  void start_tensor(const std::string& name);
  void member(const std::string& name);
  void end_tensor();

  parsed_header& out_;
  interrupt_checker& interrupts_;
  place place_ = place::start;
  int depth_ = 0;      // inside a skipped member
  unsigned seen_ = 0;  // members of the tensor seen so far
  bool metadata_seen_ = false;
  std::uint64_t offsets_[2] = {0, 0};
  int offset_count_ = 0;
};

bool header_handler::number_unsigned(number_unsigned_t value) {
  if (place_ == place::shapes) {
    if (tensor().shape.size() == safetensors_max_rank) {
      refuse(where() + " has too many dimensions", "The limit is " + std::to_string(safetensors_max_rank) + ".");
    }
    tensor().shape.push_back(value);
    return true;
  }
  if (place_ == place::offset_pair) {
    if (offset_count_ == 2) refuse(where() + " has more than two data offsets");
    offsets_[offset_count_++] = value;
    return true;
  }
  return other("a number");
}

bool header_handler::string(string_t& text) {
  if (place_ == place::dtype) {
    tensor().dtype = text;
    place_ = place::tensor_open;
    return true;
  }
  if (place_ == place::metadata_open) {
    out_.metadata.back().second = text;
    return true;
  }
  return other("a string");
}

bool header_handler::start_object(std::size_t) {
  switch (place_) {
    case place::start:
      place_ = place::root;
      return true;
    case place::metadata:
      place_ = place::metadata_open;
      return true;
    case place::tensor:
      place_ = place::tensor_open;
      return true;
    case place::skipped:
      return open_skipped();
    default:
      return other("an object");
  }
}

bool header_handler::key(string_t& name) {
  if (place_ == place::root) {
    if (name != "__metadata__") {
      start_tensor(name);
    } else if (metadata_seen_) {
      refuse("\"__metadata__\" occurs twice");
    } else {
      metadata_seen_ = true;
      place_ = place::metadata;
    }
  } else if (place_ == place::metadata_open) {
    out_.metadata.emplace_back(name, std::string());
  } else if (place_ == place::tensor_open) {
    member(name);
  }
  return true;
}

void header_handler::start_tensor(const std::string& name) {
  if (out_.tensors.size() % 1024 == 0) interrupts_.check();
  if (name.find('\0') != std::string::npos) refuse("tensor name " + show_name(name) + " contains a NUL character");
  if (out_.tensors.size() == safetensors_max_tensors) {
    throw error(sqlstate::program_limit_exceeded, "safetensors: too many tensors",
                "The limit is " + std::to_string(safetensors_max_tensors) + ".");
  }
  out_.tensors.emplace_back();
  tensor().name = name;
  seen_ = 0;
  offset_count_ = 0;
  place_ = place::tensor;
}

void header_handler::member(const std::string& name) {
  unsigned bit = 0;
  if (name == "dtype") {
    bit = has_dtype;
    place_ = place::dtype;
  } else if (name == "shape") {
    bit = has_shape;
    place_ = place::shape;
  } else if (name == "data_offsets") {
    bit = has_offsets;
    place_ = place::offsets;
  } else {
    place_ = place::skipped;
    depth_ = 0;
  }
  if ((seen_ & bit) != 0) refuse(where() + " has two members " + show_name(name));
  seen_ |= bit;
}

bool header_handler::end_object() {
  if (place_ == place::skipped) return close_skipped();
  if (place_ == place::tensor_open) end_tensor();
  place_ = place::root;
  return true;
}

void header_handler::end_tensor() {
  if (seen_ != has_all) refuse(where() + " lacks its dtype, shape or data_offsets");
  if (find_safetensors_dtype(tensor().dtype) == nullptr) {
    refuse(where() + " has the unknown dtype " + show_name(tensor().dtype));
  }
  std::uint64_t bytes = 0;
  try {
    bytes = safetensors_bytes(tensor().dtype, tensor().shape);
  } catch (const error& e) {
    refuse(where() + " has an impossible size", e.what() + std::string("."));
  }
  if (offset_count_ != 2 || offsets_[0] > offsets_[1]) refuse(where() + " has invalid data offsets");
  if (offsets_[1] - offsets_[0] != bytes) {
    refuse(where() + " has a size that does not match its shape",
           "Its data offsets span " + std::to_string(offsets_[1] - offsets_[0]) + " bytes; its shape needs " +
               std::to_string(bytes) + ".");
  }
  tensor().offset = offsets_[0];
  tensor().bytes = bytes;
}

bool header_handler::start_array(std::size_t) {
  switch (place_) {
    case place::shape:
      place_ = place::shapes;
      return true;
    case place::offsets:
      place_ = place::offset_pair;
      return true;
    case place::skipped:
      return open_skipped();
    default:
      return other("an array");
  }
}

bool header_handler::end_array() {
  if (place_ == place::skipped) return close_skipped();
  place_ = place::tensor_open;
  return true;
}

void check_duplicates(const parsed_header& header) {
  std::vector<std::string_view> names;
  for (const safetensors_tensor& tensor : header.tensors) names.push_back(tensor.name);
  std::sort(names.begin(), names.end());
  auto twin = std::adjacent_find(names.begin(), names.end());
  if (twin != names.end()) refuse("duplicate tensor name " + show_name(*twin));
  names.clear();
  for (const auto& item : header.metadata) names.push_back(item.first);
  std::sort(names.begin(), names.end());
  twin = std::adjacent_find(names.begin(), names.end());
  if (twin != names.end()) refuse("duplicate metadata key " + show_name(*twin));
}

void check_contiguous(const std::vector<safetensors_tensor>& tensors) {
  std::uint64_t end = 0;
  for (const safetensors_tensor& tensor : tensors) {
    if (tensor.offset != end) {
      refuse("tensor " + show_name(tensor.name) + (tensor.offset > end ? " leaves a hole" : " overlaps another") +
                 " in the data",
             "It starts at " + std::to_string(tensor.offset) + "; the data before it ends at " + std::to_string(end) +
                 ".");
    }
    // offset + bytes was an offset in the file, so it does not overflow.
    end = tensor.offset + tensor.bytes;
  }
}

}  // namespace

parsed_header parse_header(std::string_view json, interrupt_checker& interrupts) {
  if (json.empty() || json.front() != '{') refuse("header does not start with '{'");
  // nlohmann's lexer treats a NUL as the end of its input and would ignore what follows.
  if (json.find('\0') != std::string_view::npos) refuse("header is not valid JSON", "It contains a NUL character.");
  parsed_header header;
  header_handler handler(header, interrupts);
  nlohmann::json::sax_parse(json.data(), json.data() + json.size(), &handler);
  check_duplicates(header);
  std::stable_sort(header.tensors.begin(), header.tensors.end(),
                   [](const safetensors_tensor& a, const safetensors_tensor& b) {
                     return std::pair(a.offset, a.bytes) < std::pair(b.offset, b.bytes);
                   });
  check_contiguous(header.tensors);
  return header;
}

}  // namespace safetensors_detail

}  // namespace hartonomous
