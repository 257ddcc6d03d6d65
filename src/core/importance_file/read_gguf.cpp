// Reading importance matrices in the GGUF format (importance_file.hpp).
#include <algorithm>
#include <cmath>
#include <map>
#include <string_view>

#include "bytes/little_endian.hpp"
#include "bytes/text.hpp"
#include "importance_file/internal.hpp"

namespace hartonomous::importance_detail {

namespace {

struct tensor_pair {
  const gguf_tensor* sums = nullptr;
  const gguf_tensor* counts = nullptr;
};
using tensor_pairs = std::map<std::string_view, tensor_pair>;  // by the name of the matrix

bool has_suffix(std::string_view name, std::string_view suffix) noexcept {
  return name.size() > suffix.size() && name.substr(name.size() - suffix.size()) == suffix;
}

// Other tensors are ignored, as llama.cpp does.
tensor_pairs pair_tensors(const gguf_file& file) {
  tensor_pairs pairs;
  for (const gguf_tensor& tensor : file.tensors) {
    const std::string_view name = tensor.name;
    if (has_suffix(name, sums_suffix)) {
      pairs[name.substr(0, name.size() - (sizeof sums_suffix - 1))].sums = &tensor;
    } else if (has_suffix(name, counts_suffix)) {
      pairs[name.substr(0, name.size() - (sizeof counts_suffix - 1))].counts = &tensor;
    }
  }
  return pairs;
}

void read_keys(const gguf_file& file, importance_file& to) {
  const auto missing = [](const char* key) {
    refuse(std::string("the metadata key ") + key + " is missing",
           "llama-quantize refuses a file without it, because it may be incomplete.");
  };
  const auto datasets = file.get_strings(datasets_key);
  if (!datasets) missing(datasets_key);
  to.datasets = *datasets;
  const auto chunk_count = file.get_uint(chunk_count_key), chunk_size = file.get_uint(chunk_size_key);
  if (!chunk_count) missing(chunk_count_key);
  if (!chunk_size) missing(chunk_size_key);
  to.chunk_count = *chunk_count;
  to.chunk_size = *chunk_size;
}

// Counts are floats in the file; llama.cpp rounds them, too.
std::vector<std::int64_t> read_counts(byte_source& source, const gguf_tensor& tensor, const std::string& shown) {
  std::vector<std::byte> bytes(tensor.bytes);
  source.read(tensor.offset, bytes.data(), bytes.size());
  std::vector<std::int64_t> counts;
  counts.reserve(tensor.weights);
  for (std::uint64_t i = 0; i < tensor.weights; ++i) {
    const float count = load_f32(&bytes[i * 4]);
    if (!(count >= 0 && count < 0x1p53F)) {
      refuse("tensor " + shown + " has an invalid token count", "It is " + std::to_string(count) + ".");
    }
    counts.push_back(std::llround(count));
  }
  return counts;
}

importance_entry read_entry(byte_source& source, std::string_view name, const tensor_pair& pair,
                            std::uint64_t& total_counts) {
  const std::string shown = show_name(name);
  if (pair.sums == nullptr || pair.counts == nullptr) {
    refuse("tensor " + shown + " has " + (pair.sums == nullptr ? "token counts" : "sums of squares") + " only");
  }
  const gguf_tensor &sums = *pair.sums, &counts = *pair.counts;
  if (sums.type != format::F32 || counts.type != format::F32) {
    refuse("sums and counts of tensor " + shown + " are not F32");
  }
  if (sums.weights == 0 || counts.weights == 0 || sums.weights % counts.weights != 0) {
    refuse("sums and counts of tensor " + shown + " do not fit each other",
           "There are " + std::to_string(sums.weights) + " sums and " + std::to_string(counts.weights) + " counts.");
  }
  count_counts(counts.weights, total_counts);
  importance_entry entry;
  entry.name = name;
  entry.counts = read_counts(source, counts, shown);
  entry.sums = sums.weights;
  entry.offset = sums.offset;
  return entry;
}

}  // namespace

importance_file read_gguf(byte_source& source, interrupt_checker& interrupts) {
  const gguf_file file = read_gguf_header(source, interrupts);
  const tensor_pairs pairs = pair_tensors(file);
  const gguf_kv* const type = file.find("general.type");
  if (pairs.empty() || (type != nullptr && file.get_string("general.type") != "imatrix")) {
    refuse(
        "the GGUF file has none",
        "Its general.type is not \"imatrix\", or it has no tensor whose name ends in " + std::string(sums_suffix) + ".",
        "A model is imported with import_gguf().");
  }
  importance_file result;
  result.format = importance_format::gguf;
  read_keys(file, result);
  std::uint64_t total_counts = 0;
  for (const auto& [name, pair] : pairs) {
    interrupts.check();
    result.entries.push_back(read_entry(source, name, pair, total_counts));
  }
  sort_entries(result);
  return result;
}

}  // namespace hartonomous::importance_detail
