// Placing a checkpoint's tensors in the GGUF model, and reading them (tensors.hpp).
#include "checkpoint/tensors.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <string_view>

#include "bytes/little_endian.hpp"
#include "bytes/text.hpp"
#include "hartonomous/error.hpp"
#include "network/architecture.hpp"

namespace hartonomous::checkpoint_detail {

namespace {

using shape_t = std::vector<std::uint64_t>;

std::string show(const shape_t& shape) {
  std::string out;
  for (std::uint64_t const n : shape) out += (out.empty() ? "[" : ",") + std::to_string(n);
  return out.empty() ? "[]" : out + "]";
}

class placer {
 public:
  placer(const checkpoint_config& config, const std::vector<safetensors_file>& files) : config_(config) {
    for (std::size_t i = 0; i < files.size(); ++i) {
      for (const safetensors_tensor& tensor : files[i].tensors) {
        if (places_.emplace(tensor.name, found{&tensor, i, false}).second) continue;
        throw error(sqlstate::invalid_binary_representation,
                    "tensor " + show_name(tensor.name) + " is in two of the checkpoint's files");
      }
    }
    // Checkpoints of the bare network, such as embedding models, have names without the prefix.
    if (places_.count("model.embed_tokens.weight") == 0 && places_.count("embed_tokens.weight") > 0) root_.clear();
  }

  placed_tensors place() {
    std::uint64_t const width = config_.network.width;
    std::uint64_t const vocabulary = config_.vocabulary;
    take("token_embd.weight", root_ + "embed_tokens.weight", {vocabulary, width});
    const std::vector<expected_tensor> of_block = config_.network.architecture->block_tensors(config_.network);
    for (std::uint32_t block = 0; block < config_.network.blocks; ++block) place_block(block, of_block);
    take("output_norm.weight", root_ + "norm.weight", {width});
    // A tied checkpoint may have a copy of the embedding under this name, which is left out. A checkpoint without an
    // output matrix is tied whatever its config says, as in llama.cpp.
    if (config_.tied) {
      skip("lm_head.weight");
    } else if (places_.count("lm_head.weight") > 0) {
      take("output.weight", "lm_head.weight", {vocabulary, width});
    }
    if (!config_.rope_factors.empty()) make_factors();
    check_used();
    return std::move(placed_);
  }

 private:
  void place_block(std::uint32_t block, const std::vector<expected_tensor>& tensors) {
    std::string const to = "blk." + std::to_string(block) + ".";
    std::string const from = root_ + "layers." + std::to_string(block) + ".";
    const bool adjacent = config_.network.rope.pairs == rope_pairs::adjacent;
    for (const expected_tensor& t : tensors) {
      if (!t.required && places_.count(from + t.checkpoint_name) == 0) continue;
      take(to + t.name, from + t.checkpoint_name, t.shape, adjacent && t.has_turned_rows);
    }
  }

  void skip(const std::string& name) {
    const auto at = places_.find(name);
    if (at != places_.end()) at->second.used = true;
  }

  void take(const std::string& to, const std::string& from, const shape_t& shape, bool permuted = false) {
    const std::size_t star = from.find('*');
    if (star == std::string::npos) return add(to, shape, {origin_of(from, shape, permuted)});
    std::vector<tensor_origin> experts;
    for (std::uint64_t expert = 0; expert < shape.front(); ++expert) {
      std::string const name = from.substr(0, star) + std::to_string(expert) + from.substr(star + 1);
      experts.push_back(origin_of(name, {shape.begin() + 1, shape.end()}, permuted));
      if (experts.back().stored != experts.front().stored) {
        not_supported("tensor \"" + name + "\" is of another type than those of the experts before it");
      }
    }
    add(to, shape, std::move(experts));
  }

  // Everything but the offset in the model's data.
  tensor_origin origin_of(const std::string& from, const shape_t& shape, bool permuted) {
    const auto at = places_.find(from);
    if (at == places_.end()) {
      throw error(sqlstate::invalid_binary_representation, "tensor \"" + from + "\" is missing", {},
                  "For a checkpoint in several files, pass an array of all their paths.");
    }
    at->second.used = true;
    const safetensors_tensor& tensor = *at->second.tensor;
    if (tensor.shape != shape) {
      throw error(sqlstate::invalid_binary_representation, "tensor \"" + from + "\" does not fit the config",
                  "Its shape is " + show(tensor.shape) + " instead of " + show(shape) + ".");
    }
    tensor_origin origin;
    origin.stored = safetensors_storage_format(tensor.dtype);
    if (origin.stored != format::F32 && origin.stored != format::F16 && origin.stored != format::BF16) {
      not_supported("tensor \"" + from + "\" is not of floats", "Its dtype is " + show_name(tensor.dtype) + ".");
    }
    const bool vector = shape.size() == 1;
    origin.widened = vector && origin.stored != format::F32;
    origin.file = at->second.file;
    origin.offset = tensor.offset;
    origin.unit = vector ? sizeof(float) : bytes_of(origin.stored, shape.back());
    origin.head_width = permuted ? config_.network.head_size : 0;
    return origin;
  }

  void make_factors() {
    tensor_origin origin;
    for (const float factor : config_.rope_factors) append_le(origin.made, half_detail::bits_of(factor), 4);
    add("rope_freqs.weight", {config_.rope_factors.size()}, {std::move(origin)});
  }

  // Each origin is an equal part of the tensor.
  void add(const std::string& name, const shape_t& shape, std::vector<tensor_origin> origins) {
    const format carried = origins.front().widened ? format::F32 : origins.front().stored;
    model_tensor tensor;
    tensor.name = name;
    tensor.dtype = traits_of(carried).name;
    tensor.storage = carried;
    tensor.shape = shape;
    tensor.row_length = shape.back();
    tensor.weights = 1;  // cannot overflow: the files have that many elements
    for (std::uint64_t const n : shape) tensor.weights *= n;
    tensor.offset = end_;
    tensor.bytes = bytes_of(carried, tensor.weights);
    for (tensor_origin& origin : origins) {
      origin.begin = end_;
      origin.bytes = tensor.bytes / origins.size();
      end_ += origin.bytes;
      placed_.origins.push_back(std::move(origin));
    }
    placed_.tensors.push_back(std::move(tensor));
  }

  void check_used() const {
    for (const auto& [name, place] : places_) {
      if (!place.used && !is_buffer(name))
        not_supported("tensor " + show_name(name) + " is none of architecture " + config_.network.architecture->name);
    }
  }

  // Rotary frequencies in old checkpoints, per block or for all, which follow from the config.
  static bool is_buffer(std::string_view name) {
    constexpr std::string_view buffer = "rotary_emb.inv_freq";
    if (name.size() < buffer.size() || name.substr(name.size() - buffer.size()) != buffer) return false;
    return name.size() == buffer.size() || name[name.size() - buffer.size() - 1] == '.';
  }

  struct found {
    const safetensors_tensor* tensor;
    std::size_t file;
    bool used;
  };

  const checkpoint_config& config_;
  std::map<std::string, found> places_;
  std::string root_ = "model.";  // prefix of the network's tensors
  placed_tensors placed_;
  std::uint64_t end_ = 0;
};

float element_at(format stored, const char* from) {
  if (stored == format::F16) return f16_to_f32(load_le<std::uint16_t>(from));
  if (stored == format::BF16) return bf16_to_f32(load_le<std::uint16_t>(from));
  return half_detail::float_of(load_le<std::uint32_t>(from));
}

// Hugging Face rotates the two halves of a head against each other, GGUF's llama adjacent numbers, so the order of rows
// differs. Returns the row in the file of row `i` in GGUF's order.
std::uint64_t file_row(std::uint64_t i, std::uint32_t head_width) noexcept {
  std::uint64_t const within = i % head_width;
  return i - within + within % 2 * (head_width / 2) + within / 2;
}

}  // namespace

placed_tensors place_tensors(const checkpoint_config& config, const std::vector<safetensors_file>& files) {
  return placer(config, files).place();
}

tensor_data::tensor_data(std::vector<byte_source*> files, std::vector<tensor_origin> origins)
    : files_(std::move(files)), origins_(std::move(origins)) {
  if (!origins_.empty()) size_ = origins_.back().begin + origins_.back().bytes;
}

void tensor_data::read(std::uint64_t offset, void* to, std::size_t count) {
  auto* out = static_cast<char*>(to);
  auto origin = std::upper_bound(origins_.begin(), origins_.end(), offset,
                                 [](std::uint64_t at, const tensor_origin& o) { return at < o.begin + o.bytes; });
  for (; count > 0; ++origin) {
    std::uint64_t const at = offset - origin->begin;
    const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(count, origin->bytes - at));
    read_from(*origin, at, out, part);
    out += part;
    offset += part;
    count -= part;
  }
}

void tensor_data::read_from(const tensor_origin& origin, std::uint64_t at, char* to, std::size_t count) {
  if (!origin.made.empty()) {
    std::memcpy(to, origin.made.data() + at, count);
    return;
  }
  byte_source& file = *files_[origin.file];
  if (!origin.widened && origin.head_width == 0) {
    file.read(origin.offset + at, to, count);
    return;
  }
  std::uint64_t const file_unit = origin.widened ? traits_of(origin.stored).block_bytes : origin.unit;
  while (count > 0) {
    std::uint64_t const unit = at / origin.unit;
    std::uint64_t const within = at % origin.unit;
    const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(count, origin.unit - within));
    std::uint64_t const row = origin.head_width == 0 ? unit : file_row(unit, origin.head_width);
    std::uint64_t const from = origin.offset + row * file_unit;
    if (origin.widened) {
      char element[sizeof(float)];
      file.read(from, element, static_cast<std::size_t>(file_unit));
      std::string wide;
      append_le(wide, half_detail::bits_of(element_at(origin.stored, element)), sizeof(float));
      std::memcpy(to, wide.data() + within, part);
    } else {
      file.read(from + within, to, part);
    }
    at += part;
    to += part;
    count -= part;
  }
}

}  // namespace hartonomous::checkpoint_detail
