// The index of a checkpoint in several files (hartonomous/safetensors.hpp).
#include <algorithm>
#include <cstdint>
#include <unordered_set>

#include "bytes/text.hpp"
#include "hartonomous/error.hpp"
#include "hartonomous/safetensors.hpp"

#include <nlohmann/json.hpp>

namespace hartonomous {

namespace {

constexpr const char* malformed = sqlstate::invalid_binary_representation;

// Cheaper than parsing, for files of weights.
bool is_object(byte_source& source) {
  std::string head(static_cast<std::size_t>(std::min<std::uint64_t>(source.size(), 64)), '\0');
  source.read(0, head.data(), head.size());
  const std::size_t first = head.find_first_not_of(" \t\r\n");
  return first != std::string::npos && head[first] == '{';
}

std::string read_text(byte_source& source, interrupt_checker& interrupts) {
  if (source.size() > safetensors_max_header_bytes) {
    throw error(sqlstate::program_limit_exceeded, "safetensors: the index is too large",
                "It has " + std::to_string(source.size()) + " bytes; the limit is " +
                    std::to_string(safetensors_max_header_bytes) + ".");
  }
  std::string text(static_cast<std::size_t>(source.size()), '\0');
  constexpr std::size_t chunk = std::size_t{1} << 20;
  for (std::size_t done = 0; done < text.size(); done += chunk) {
    interrupts.check();
    source.read(done, text.data() + done, std::min(chunk, text.size() - done));
  }
  return text;
}

// A name that leads elsewhere would make the server read files that the caller did not name.
void check_file_name(const std::string& name) {
  const bool elsewhere = name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos ||
                         name.find('\\') != std::string::npos || name.find('\0') != std::string::npos;
  if (elsewhere) {
    throw error(malformed, "safetensors: the index names " + show_name(name) + ", which is not a file beside it");
  }
}

}  // namespace

std::optional<safetensors_index> read_safetensors_index(byte_source& source, interrupt_checker& interrupts) {
  if (!is_object(source)) return std::nullopt;
  std::uint32_t events = 0;
  constexpr int deepest = 8;
  const auto watch = [&](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    if (++events % 4096 == 0) interrupts.check();
    return depth <= deepest;
  };
  const nlohmann::json value = nlohmann::json::parse(read_text(source, interrupts), watch, false);
  if (!value.is_object() || !value.contains("weight_map")) return std::nullopt;
  const nlohmann::json& map = value["weight_map"];
  if (!map.is_object() || map.empty()) throw error(malformed, "safetensors: the index names no tensors");
  safetensors_index index;
  for (const auto& [tensor, file] : map.items()) {
    if (!file.is_string()) throw error(malformed, "safetensors: the index has no file for tensor " + show_name(tensor));
    index.files.push_back(file.get<std::string>());
  }
  std::sort(index.files.begin(), index.files.end());
  index.files.erase(std::unique(index.files.begin(), index.files.end()), index.files.end());
  for (const std::string& name : index.files) check_file_name(name);
  for (const auto& [tensor, file] : map.items()) {
    const auto at = std::lower_bound(index.files.begin(), index.files.end(), file.get_ref<const std::string&>());
    index.tensors.emplace_back(tensor, static_cast<std::size_t>(at - index.files.begin()));
  }
  return index;
}

void check_safetensors_index(const safetensors_index& index, const std::vector<byte_source*>& files,
                             interrupt_checker& interrupts) {
  std::vector<std::unordered_set<std::string>> held(files.size());
  for (std::size_t i = 0; i < files.size(); ++i) {
    for (safetensors_tensor& tensor : read_safetensors_header(*files[i], interrupts).tensors) {
      held[i].insert(std::move(tensor.name));
    }
  }
  for (const auto& [tensor, file] : index.tensors) {
    if (held[file].count(tensor) > 0) continue;
    throw error(malformed, "tensor " + show_name(tensor) + " is not in " + show_name(index.files[file]),
                "The index of the checkpoint says that it is.");
  }
}

}  // namespace hartonomous
