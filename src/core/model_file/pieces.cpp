// Putting the files of a model together (pieces.hpp).
#include "model_file/pieces.hpp"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <optional>
#include <unordered_map>
#include <utility>

#include "bytes/text.hpp"

namespace hartonomous::model_file_detail {

namespace {

constexpr const char* malformed = sqlstate::invalid_binary_representation;

std::string file_name(std::size_t index) { return "file " + std::to_string(index + 1); }

// The files of the parts: result[k] is the index of the file with part k.
std::vector<std::size_t> files_of_parts(const std::vector<gguf_file>& headers) {
  std::vector<std::optional<std::size_t>> found;
  for (std::size_t i = 0; i < headers.size(); ++i) {
    const std::optional<gguf_split> part = split_of(headers[i]);
    if (!part || part->count < 2) {
      throw error(malformed, file_name(i) + " is not part of a split model",
                  "Several GGUF files must be the parts of one model, which their key split.count marks.");
    }
    constexpr std::uint64_t most = 65535;  // the key has 16 bits
    if (part->count > most) throw error(malformed, file_name(i) + " says that the model has too many parts");
    if (found.empty()) found.resize(part->count);
    if (part->count != found.size()) {
      throw error(malformed, "the files are parts of different models",
                  "File 1 is one of " + std::to_string(found.size()) + " parts, " + file_name(i) + " one of " +
                      std::to_string(part->count) + ".");
    }
    if (part->number >= part->count) {
      throw error(malformed, file_name(i) + " says that it is part " + std::to_string(part->number + 1) + " of " +
                                 std::to_string(part->count));
    }
    std::optional<std::size_t>& place = found[part->number];
    if (place) {
      throw error(malformed, "files " + std::to_string(*place + 1) + " and " + std::to_string(i + 1) +
                                 " are both part " + std::to_string(part->number + 1) + " of " +
                                 std::to_string(part->count));
    }
    place = i;
  }
  std::string missing;
  std::size_t count = 0;
  std::vector<std::size_t> files;
  for (std::size_t k = 0; k < found.size(); ++k) {
    if (found[k]) {
      files.push_back(*found[k]);
    } else if (++count <= 10) {
      missing += (count > 1 ? ", " : "") + std::to_string(k + 1);
    }
  }
  if (count > 0) {
    throw error(malformed,
                std::to_string(count) + " of " + std::to_string(found.size()) + " parts of the model " +
                    (count == 1 ? "is missing" : "are missing"),
                "Missing: " + missing + (count > 10 ? ", …" : "") + ".");
  }
  return files;
}

void check_unique_names(const std::vector<gguf_tensor>& tensors) {
  std::vector<std::string_view> names;
  names.reserve(tensors.size());
  for (const gguf_tensor& tensor : tensors) names.push_back(tensor.name);
  std::sort(names.begin(), names.end());
  const auto twin = std::adjacent_find(names.begin(), names.end());
  if (twin != names.end()) throw error(malformed, "tensor " + show_name(*twin) + " is in two parts of the model");
}

}  // namespace

joined_source::joined_source(const std::vector<byte_source*>& files) : files_(files), begins_{0} {
  for (const byte_source* file : files_) begins_.push_back(begins_.back() + file->size());
}

void joined_source::read(std::uint64_t offset, void* to, std::size_t count) {
  auto* out = static_cast<char*>(to);
  auto file = static_cast<std::size_t>(
      std::distance(begins_.begin(), std::upper_bound(begins_.begin(), begins_.end(), offset)) - 1);
  for (; count > 0; ++file) {
    const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(count, begins_[file + 1] - offset));
    files_[file]->read(offset - begins_[file], out, part);
    offset += part;
    out += part;
    count -= part;
  }
}

gguf_file join_gguf(std::vector<gguf_file> headers, const joined_source& data) {
  const std::vector<std::size_t> files = files_of_parts(headers);
  const std::optional<std::uint64_t> promised = split_of(headers[files.front()])->tensors;
  gguf_file out = std::move(headers[files.front()]);
  std::vector<gguf_tensor> first = std::move(out.tensors);
  out.tensors.clear();
  for (const std::size_t file : files) {
    std::vector<gguf_tensor>& tensors = file == files.front() ? first : headers[file].tensors;
    for (gguf_tensor& tensor : tensors) {
      tensor.offset += data.begin_of(file);
      out.tensors.push_back(std::move(tensor));
    }
  }
  if (out.tensors.size() > gguf_max_tensors) {
    throw error(
        sqlstate::program_limit_exceeded, "the parts of the model have too many tensors together",
        "There are " + std::to_string(out.tensors.size()) + "; the limit is " + std::to_string(gguf_max_tensors) + ".");
  }
  if (promised && *promised != out.tensors.size()) {
    throw error(malformed, "the parts of the model do not have all its tensors",
                "They have " + std::to_string(out.tensors.size()) + "; split.tensors.count says " +
                    std::to_string(*promised) + ".");
  }
  check_unique_names(out.tensors);
  out.kv.erase(std::remove_if(out.kv.begin(), out.kv.end(), [](const gguf_kv& kv) { return is_split_key(kv.key); }),
               out.kv.end());
  out.canonical = false;
  return out;
}

safetensors_file join_safetensors(std::vector<safetensors_file> headers, const joined_source& data) {
  safetensors_file out;
  std::unordered_map<std::string, std::size_t> names;
  for (std::size_t file = 0; file < headers.size(); ++file) {
    for (safetensors_tensor& tensor : headers[file].tensors) {
      if (!names.emplace(tensor.name, file).second) {
        throw error(malformed, "tensor " + show_name(tensor.name) + " is in two of the checkpoint's files");
      }
      tensor.offset += data.begin_of(file);
      out.tensors.push_back(std::move(tensor));
    }
    for (auto& item : headers[file].metadata) {
      const bool is_new = std::none_of(out.metadata.begin(), out.metadata.end(),
                                       [&](const auto& other) { return other.first == item.first; });
      if (is_new) out.metadata.push_back(std::move(item));
    }
  }
  out.header_json = make_safetensors_header(out.tensors, out.metadata).substr(sizeof(std::uint64_t));
  return out;
}

}  // namespace hartonomous::model_file_detail
