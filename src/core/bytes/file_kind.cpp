// Recognizes files by their first bytes (file_kind.hpp).
#include "bytes/file_kind.hpp"

#include <algorithm>
#include <string_view>

#include "bytes/little_endian.hpp"
#include "hartonomous/error.hpp"

namespace hartonomous {

namespace {

constexpr char torch_hint[] =
    "It may be a checkpoint of PyTorch: save it as safetensors first. Such files are not read, because they can hold "
    "programs.";
constexpr char unpack_hint[] = "Unpack it first.";

struct known_start {
  std::string_view bytes;
  file_kind is;
};

constexpr known_start starts[] = {
    {"GGUF", {"a GGUF file", "Import it with import_gguf()."}},
    // ggml's formats before GGUF; the last three magics are written as little-endian numbers.
    {"lmgg", {"a ggml file older than GGUF", "Convert the model to GGUF again, from its checkpoint."}},
    {"tjgg", {"a ggml file older than GGUF", "Convert the model to GGUF again, from its checkpoint."}},
    {"fmgg", {"a ggml file older than GGUF", "Convert the model to GGUF again, from its checkpoint."}},
    {"version https://git-lfs", {"a Git LFS pointer", "Fetch the file that it stands for: git lfs pull."}},
    {"PK\x03\x04", {"a zip archive", torch_hint}},
    {"\x89HDF\r\n", {"an HDF5 file", ""}},
    {"\x93NUMPY", {"a NumPy array", ""}},
    {"\x1f\x8b", {"a gzip archive", unpack_hint}},
    {std::string_view("\xfd\x37zXZ\0", 6), {"an xz archive", unpack_hint}},
    {"\x28\xb5\x2f\xfd", {"a Zstandard archive", unpack_hint}},
    {"BZh", {"a bzip2 archive", unpack_hint}},
    {"7z\xbc\xaf", {"a 7z archive", unpack_hint}},
};

bool begins_with(std::string_view text, std::string_view start) noexcept {
  return text.substr(0, start.size()) == start;
}

// Ignores the case of ASCII letters; `lower` is in lower case.
bool begins_with_word(std::string_view text, std::string_view lower) noexcept {
  return text.size() >= lower.size() && std::equal(lower.begin(), lower.end(), text.begin(), [](char want, char have) {
           return want == (have >= 'A' && have <= 'Z' ? static_cast<char>(have + ('a' - 'A')) : have);
         });
}

file_kind recognize_text(std::string_view head) noexcept {
  std::string_view text = head;
  if (begins_with(text, "\xef\xbb\xbf")) text.remove_prefix(3);  // a byte order mark
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  for (const char* tag : {"<!doctype html", "<html", "<head", "<?xml"}) {
    if (begins_with_word(text, tag)) {
      return {"a web page", "The download may have returned an error or a login page."};
    }
  }
  if (!begins_with(text, "{")) return {};
  if (text.find("\"weight_map\"") != std::string_view::npos) {
    return {"the index of a checkpoint in several files",
            "Pass its path alone, and the files that it names are read; or pass their paths as an array."};
  }
  return {"a JSON text", ""};
}

// A pickle begins with its protocol, 2 to 5. Two bytes alone prove too little, so the first opcode is checked, too.
bool is_pickle(std::string_view head) noexcept {
  return head.size() > 2 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5 &&
         std::string_view("}]c(\x8a\x95").find(head[2]) != std::string_view::npos;
}

bool is_safetensors(std::string_view head, std::uint64_t size) noexcept {
  return head.size() > 8 && head[8] == '{' && load_le<std::uint64_t>(head.data()) <= size - 8;
}

}  // namespace

file_kind recognize_file(byte_source& source) {
  // Enough to recognize an index of several files, which names its map within the first few hundred bytes.
  constexpr std::uint64_t most = 4096;
  std::string head(std::min(source.size(), most), '\0');
  source.read(0, head.data(), head.size());
  for (const known_start& start : starts) {
    if (begins_with(head, start.bytes)) return start.is;
  }
  if (is_pickle(head)) return {"a Python pickle", torch_hint};
  if (is_safetensors(head, source.size())) return {"a safetensors file", "Import it with import_safetensors()."};
  return recognize_text(head);
}

void refuse_recognized(byte_source& source, const std::string& reader, const std::string& detail) {
  const file_kind kind = recognize_file(source);
  if (kind.name == nullptr) return;
  throw error(sqlstate::invalid_binary_representation,
              reader + ": the file is " + kind.name + ", not a " + reader + " file", detail, kind.hint);
}

}  // namespace hartonomous
