// Metadata with a smaller vocabulary (hartonomous/tokenizer.hpp).
#include "bytes/little_endian.hpp"
#include "hartonomous/error.hpp"
#include "hartonomous/tokenizer.hpp"

#include <algorithm>
#include <cstdint>
#include <unordered_set>

namespace hartonomous {
namespace {

constexpr std::string_view tokens_key = "tokenizer.ggml.tokens", merges_key = "tokenizer.ggml.merges";

bool starts_with(std::string_view text, std::string_view part) { return text.substr(0, part.size()) == part; }
bool ends_with(std::string_view text, std::string_view part) {
  return text.size() >= part.size() && text.substr(text.size() - part.size()) == part;
}

// Whether the value of a key is the number of a token, or an array of them.
bool names_tokens(const gguf_kv& kv) {
  return starts_with(kv.key, "tokenizer.") && (ends_with(kv.key, "_token_id") || ends_with(kv.key, "_token_ids")) &&
         kv.element != gguf_type::string && kv.element != gguf_type::boolean && kv.element != gguf_type::f32 &&
         kv.element != gguf_type::f64 && kv.count > 0;
}

std::uint64_t number_at(const gguf_kv& kv, std::size_t index) {
  const std::size_t width = kv.payload.size() / kv.count;
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < width; ++i) {
    value |= static_cast<std::uint64_t>(static_cast<unsigned char>(kv.payload[index * width + i])) << (8 * i);
  }
  return value;
}

// Where each element of an array begins in its payload, and where the last one ends.
std::vector<std::size_t> element_offsets(const gguf_kv& kv) {
  std::vector<std::size_t> offsets = {0};
  const std::size_t width = kv.count > 0 ? kv.payload.size() / kv.count : 0;
  for (std::uint64_t i = 0; i < kv.count; ++i) {
    std::size_t length = width;
    if (kv.element == gguf_type::string) {
      length = 0;
      for (std::size_t b = 0; b < 8; ++b) {
        length |= static_cast<std::size_t>(static_cast<unsigned char>(kv.payload[offsets.back() + b])) << (8 * b);
      }
      length += 8;
    }
    offsets.push_back(offsets.back() + length);
  }
  return offsets;
}

void keep_elements(gguf_kv& kv, span<const std::int32_t> kept) {
  const std::vector<std::size_t> offsets = element_offsets(kv);
  std::string payload;
  for (const std::int32_t token : kept) {
    const auto i = static_cast<std::size_t>(token);
    payload.append(kv.payload, offsets[i], offsets[i + 1] - offsets[i]);
  }
  kv.payload = std::move(payload);
  kv.count = kept.size();
}

// Numbers that are no token, such as the one that old converters write for a token that does not exist, stay.
void renumber(gguf_kv& kv, const std::vector<std::int32_t>& numbers) {
  const std::size_t width = kv.payload.size() / kv.count;
  std::string payload;
  for (std::size_t i = 0; i < kv.count; ++i) {
    const std::uint64_t token = number_at(kv, i);
    append_le(payload, token < numbers.size() ? static_cast<std::uint64_t>(numbers[token]) : token, width);
  }
  kv.payload = std::move(payload);
}

// Leaves out the merges in which a removed token takes part. (Parts that are no tokens are not removed ones.)
std::vector<std::string> kept_merges(const std::vector<std::string>& merges,
                                     const std::unordered_set<std::string>& removed) {
  std::vector<std::string> kept;
  for (const std::string& merge : merges) {
    const std::size_t space = merge.find(' ', 1);
    if (space != std::string::npos) {
      const std::string left = merge.substr(0, space), right = merge.substr(space + 1);
      if (removed.count(left) + removed.count(right) + removed.count(left + right) > 0) continue;
    }
    kept.push_back(merge);
  }
  return kept;
}

}  // namespace

std::vector<std::int32_t> tokens_to_keep(const tokenizer& words, const gguf_metadata& metadata,
                                         span<const std::int32_t> seen, interrupt_checker& interrupts) {
  std::vector<std::int32_t> kept = words.needed_for(seen, interrupts);
  for (const gguf_kv& kv : metadata.kv) {
    for (std::size_t i = 0; names_tokens(kv) && i < kv.count; ++i) {
      const std::uint64_t token = number_at(kv, i);
      if (token < words.size()) kept.push_back(static_cast<std::int32_t>(token));
    }
  }
  std::sort(kept.begin(), kept.end());
  kept.erase(std::unique(kept.begin(), kept.end()), kept.end());
  return kept;
}

gguf_metadata trimmed_vocabulary(const gguf_metadata& metadata, span<const std::int32_t> kept,
                                 interrupt_checker& interrupts) {
  const std::vector<std::string> tokens = metadata.get_strings(tokens_key).value_or(std::vector<std::string>());
  std::vector<std::int32_t> numbers(tokens.size(), -1);
  for (std::size_t i = 0; i < kept.size(); ++i) numbers.at(static_cast<std::size_t>(kept[i])) = static_cast<int>(i);
  std::unordered_set<std::string> removed;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (numbers[i] < 0) removed.insert(tokens[i]);
  }
  interrupts.check();
  gguf_metadata result;
  result.version = metadata.version;
  result.alignment = metadata.alignment;
  for (const gguf_kv& old : metadata.kv) {
    interrupts.check();
    // The vocabulary once more, as Hugging Face's file.
    if (old.key == "tokenizer.huggingface.json") continue;
    result.kv.push_back(old);
    gguf_kv& kv = result.kv.back();
    if (kv.key == merges_key) {
      result.set_strings(merges_key, kept_merges(metadata.get_strings(merges_key).value(), removed));
    } else if (names_tokens(kv)) {
      renumber(kv, numbers);
    } else if (starts_with(kv.key, "tokenizer.") && kv.type == gguf_type::array && kv.count == tokens.size()) {
      keep_elements(kv, kept);
    }
  }
  const std::string size_key = metadata.get_string("general.architecture").value_or("") + ".vocab_size";
  if (result.find(size_key) != nullptr) result.set_uint32(size_key, static_cast<std::uint32_t>(kept.size()));
  return result;
}

}  // namespace hartonomous
