// safetensors headers: reading from a file, writing, and comparing.
#include <algorithm>
#include <cstdint>

#include "bytes/file_kind.hpp"
#include "bytes/little_endian.hpp"
#include "bytes/text.hpp"
#include "hartonomous/error.hpp"
#include "safetensors/internal.hpp"

namespace hartonomous {

using safetensors_detail::parse_header;
using safetensors_detail::parsed_header;

namespace {

constexpr std::size_t prefix_bytes = 8;
constexpr const char* malformed = sqlstate::invalid_binary_representation;
constexpr const char* invalid = sqlstate::invalid_parameter_value;

std::string read_json(byte_source& source, interrupt_checker& interrupts) {
  std::uint64_t const size = source.size();
  if (size < prefix_bytes) {
    throw error(malformed, "safetensors: file is truncated", "It has " + std::to_string(size) + " bytes.");
  }
  char prefix[prefix_bytes];
  source.read(0, prefix, sizeof prefix);
  const auto length = load_le<std::uint64_t>(prefix);
  std::string const read_as = "The length of its header reads as " + std::to_string(length) + " bytes; ";
  if (length > safetensors_max_header_bytes) {
    std::string const detail = read_as + "the limit is " + std::to_string(safetensors_max_header_bytes) + ".";
    refuse_recognized(source, "safetensors", detail);
    throw error(malformed, "safetensors: header is too large", detail);
  }
  if (length > size - prefix_bytes) {
    std::string const detail = read_as + "the file has " + std::to_string(size) + ".";
    refuse_recognized(source, "safetensors", detail);
    throw error(malformed, "safetensors: header lies outside the file", detail);
  }
  std::string json(length, '\0');
  constexpr std::size_t chunk = std::size_t{1} << 20;
  for (std::size_t done = 0; done < json.size(); done += chunk) {
    interrupts.check();
    source.read(prefix_bytes + done, json.data() + done, std::min(chunk, json.size() - done));
  }
  return json;
}

void check_text(std::string_view text, const char* what) {
  if (!is_utf8(text)) throw error(invalid, std::string("safetensors: ") + what + " is not valid UTF-8");
}

void append_metadata(std::string& json, const safetensors_metadata& metadata) {
  json += "\"__metadata__\":{";
  for (std::size_t i = 0; i < metadata.size(); ++i) {
    check_text(metadata[i].first, "a metadata key");
    check_text(metadata[i].second, "a metadata value");
    if (i > 0) json += ',';
    append_json_string(json, metadata[i].first);
    json += ':';
    append_json_string(json, metadata[i].second);
  }
  json += '}';
}

// Returns the offset after the tensor.
std::uint64_t append_tensor(std::string& json, const safetensors_tensor& tensor, std::uint64_t offset) {
  check_text(tensor.name, "a tensor name");
  if (tensor.name == "__metadata__") throw error(invalid, "safetensors: a tensor must not be named \"__metadata__\"");
  if (find_safetensors_dtype(tensor.dtype) == nullptr) {
    throw error(invalid,
                "safetensors: tensor " + show_name(tensor.name) + " has the unknown dtype " + show_name(tensor.dtype));
  }
  std::uint64_t end = 0;
  if (__builtin_add_overflow(offset, safetensors_bytes(tensor.dtype, tensor.shape), &end)) {
    throw error(sqlstate::program_limit_exceeded, "safetensors: file is too large");
  }
  append_json_string(json, tensor.name);
  json += ":{\"dtype\":\"" + tensor.dtype + "\",\"shape\":[";
  for (std::size_t i = 0; i < tensor.shape.size(); ++i) json += (i > 0 ? "," : "") + std::to_string(tensor.shape[i]);
  json += "],\"data_offsets\":[" + std::to_string(offset) + ',' + std::to_string(end) + "]}";
  return end;
}

template <class Items, class Name>
void check_unique(const Items& items, Name name, const char* what) {
  std::vector<std::string_view> names;
  names.reserve(items.size());
  for (const auto& item : items) names.push_back(name(item));
  std::sort(names.begin(), names.end());
  const auto twin = std::adjacent_find(names.begin(), names.end());
  if (twin != names.end()) throw error(invalid, std::string("safetensors: duplicate ") + what + ' ' + show_name(*twin));
}

}  // namespace

safetensors_file read_safetensors_header(byte_source& source, interrupt_checker& interrupts) {
  safetensors_file file;
  file.header_json = read_json(source, interrupts);
  parsed_header header = parse_header(file.header_json, interrupts);
  std::uint64_t const data_start = prefix_bytes + file.header_json.size();
  std::uint64_t const data_bytes = source.size() - data_start;
  std::uint64_t const described =
      header.tensors.empty() ? 0 : header.tensors.back().offset + header.tensors.back().bytes;
  if (described != data_bytes) {
    throw error(malformed,
                described > data_bytes ? "safetensors: tensors lie outside the file"
                                       : "safetensors: file has data that belongs to no tensor",
                "The tensors end at byte " + std::to_string(described) + " of the data, which has " +
                    std::to_string(data_bytes) + ".");
  }
  for (safetensors_tensor& tensor : header.tensors) tensor.offset += data_start;
  file.tensors = std::move(header.tensors);
  file.metadata = std::move(header.metadata);
  return file;
}

std::string make_safetensors_header(const std::vector<safetensors_tensor>& tensors,
                                    const safetensors_metadata& metadata) {
  check_unique(
      tensors, [](const auto& tensor) { return std::string_view(tensor.name); }, "tensor name");
  check_unique(
      metadata, [](const auto& item) { return std::string_view(item.first); }, "metadata key");
  std::string json = "{";
  if (!metadata.empty()) append_metadata(json, metadata);
  std::uint64_t offset = 0;
  for (const safetensors_tensor& tensor : tensors) {
    if (json.size() > 1) json += ',';
    offset = append_tensor(json, tensor, offset);
  }
  json += '}';
  json.append((8 - json.size() % 8) % 8, ' ');
  if (json.size() > safetensors_max_header_bytes) {
    throw error(sqlstate::program_limit_exceeded, "safetensors: header is too large",
                "It has " + std::to_string(json.size()) + " bytes; the limit is " +
                    std::to_string(safetensors_max_header_bytes) + ".");
  }
  std::string out;
  append_le(out, json.size(), prefix_bytes);
  return out + json;
}

safetensors_metadata metadata_of_header(std::string_view header_json) {
  no_interrupts interrupts;
  try {
    return parse_header(header_json, interrupts).metadata;
  } catch (const error&) {
    return {};
  }
}

bool header_matches(std::string_view header_json, const std::vector<safetensors_tensor>& tensors) {
  no_interrupts interrupts;
  parsed_header header;
  try {
    header = parse_header(header_json, interrupts);
  } catch (const error&) {
    return false;
  }
  // Both are back to back in the same order, so equal dtypes and shapes imply equal offsets.
  return std::equal(header.tensors.begin(), header.tensors.end(), tensors.begin(), tensors.end(),
                    [](const safetensors_tensor& a, const safetensors_tensor& b) {
                      return a.name == b.name && a.dtype == b.dtype && a.shape == b.shape;
                    });
}

}  // namespace hartonomous
