// Placing a checkpoint's tensors in the GGUF model (tensors.hpp).
#include "checkpoint/tensors.hpp"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <optional>
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
    if (config_.adapter_alpha) return place_adapter();
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
  // The two factors of each matrix that the adapter changes, which PEFT names after the module.
  placed_tensors place_adapter() {
    for (std::uint32_t block = 0; block < config_.network.blocks; ++block) {
      std::string const from = "base_model.model.model.layers." + std::to_string(block) + ".";
      for (const expected_tensor& t : config_.network.architecture->block_tensors(config_.network)) {
        if (t.shape.size() != 2) continue;
        place_factors("blk." + std::to_string(block) + "." + t.name, from + t.checkpoint_name, t.shape,
                      config_.network.rope.pairs == rope_pairs::adjacent && t.has_turned_rows);
      }
    }
    place_factors("output.weight", "base_model.model.lm_head.weight", {config_.vocabulary, config_.network.width},
                  false);
    check_used();
    if (placed_.tensors.empty()) {
      throw error(sqlstate::invalid_binary_representation, "the adapter has no matrices of the model");
    }
    return std::move(placed_);
  }

  void place_factors(const std::string& to, const std::string& from, const shape_t& shape, bool permuted) {
    constexpr std::string_view ending = ".weight";
    if (from.size() <= ending.size() || from.find('*') != std::string::npos) return;
    std::string const module = from.substr(0, from.size() - ending.size());
    std::string const a = module + ".lora_A.weight";
    std::string const b = module + ".lora_B.weight";
    const auto found = places_.find(places_.count(a) > 0 ? a : b);
    if (found == places_.end()) return;
    const shape_t& given = found->second.tensor->shape;
    std::uint64_t const rank = given.size() != 2 ? 0 : given[found->first == a ? 0 : 1];
    take(to + ".lora_a", a, {rank, shape[1]});
    take(to + ".lora_b", b, {shape[0], rank}, permuted);
  }

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
      if (experts.back().carried != experts.front().carried) {
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
    origin.stored = number_of(from, tensor.dtype);
    const bool vector = shape.size() == 1;
    origin.carried = vector ? format::F32 : carried_as(origin.stored);
    origin.file = at->second.file;
    origin.offset = tensor.offset;
    origin.columns = vector ? 1 : shape.back();
    origin.head_width = permuted ? config_.network.head_size : 0;
    if (!vector) origin.scales = scales_of(from, shape);
    if (origin.scales) origin.carried = format::BF16;
    if (origin.stored == number_type::i8 && !origin.scales) {
      not_supported("tensor \"" + from + "\" is of integers without scales", "Its dtype is \"I8\".");
    }
    return origin;
  }

  static number_type number_of(const std::string& name, const std::string& dtype) {
    const std::optional<number_type> type = find_number_type(dtype);
    if (!type) not_supported("tensor \"" + name + "\" is not of floats", "Its dtype is " + show_name(dtype) + ".");
    return *type;
  }

  // The factors of a quantized matrix: one for all of it, for each row, or for each block of the size in the config.
  std::optional<scale_grid> scales_of(const std::string& from, const shape_t& shape) {
    for (const char* ending : {"_scale_inv", "_scale"}) {
      const auto at = places_.find(from + ending);
      if (at == places_.end()) continue;
      at->second.used = true;
      const safetensors_tensor& tensor = *at->second.tensor;
      scale_grid grid;
      grid.file = at->second.file;
      grid.offset = tensor.offset;
      grid.stored = number_of(tensor.name, tensor.dtype);
      if (!is_float(grid.stored)) {
        not_supported("tensor \"" + tensor.name + "\" is not of floats",
                      "Its dtype is " + show_name(tensor.dtype) + ".");
      }
      lay_grid(tensor, shape, grid);
      return grid;
    }
    return std::nullopt;
  }

  void lay_grid(const safetensors_tensor& tensor, const shape_t& shape, scale_grid& grid) const {
    const auto blocks = [](std::uint64_t n, std::uint64_t size) { return (n + size - 1) / size; };
    std::uint64_t const rows = shape.front();
    std::uint64_t const columns = shape.back();
    grid.block_rows = rows;
    grid.block_columns = columns;
    if (std::all_of(tensor.shape.begin(), tensor.shape.end(), [](std::uint64_t n) { return n == 1; })) {
      grid.rows = grid.columns = 1;
    } else if (tensor.shape == shape_t{rows} || tensor.shape == shape_t{rows, 1}) {
      grid.block_rows = 1;
      grid.rows = rows;
      grid.columns = 1;
    } else if (config_.scale_block_rows > 0 && tensor.shape == shape_t{blocks(rows, config_.scale_block_rows),
                                                                       blocks(columns, config_.scale_block_columns)}) {
      grid.block_rows = config_.scale_block_rows;
      grid.block_columns = config_.scale_block_columns;
      grid.rows = tensor.shape[0];
      grid.columns = tensor.shape[1];
    } else {
      throw error(sqlstate::invalid_binary_representation,
                  "tensor " + show_name(tensor.name) + " does not fit the matrix that it scales",
                  "Its shape is " + show(tensor.shape) + ", that of the matrix " + show(shape) + ".",
                  "Blocks have the size of quantization_config.weight_block_size in the config.");
    }
  }

  void make_factors() {
    tensor_origin origin;
    for (const float factor : config_.rope_factors) append_le(origin.made, half_detail::bits_of(factor), 4);
    add("rope_freqs.weight", {config_.rope_factors.size()}, {std::move(origin)});
  }

  // Each origin is an equal part of the tensor.
  void add(const std::string& name, const shape_t& shape, std::vector<tensor_origin> origins) {
    const format carried = origins.front().carried;
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
      if (!place.used && !is_ignored(name))
        not_supported("tensor " + show_name(name) + " is none of architecture " + config_.network.architecture->name);
    }
  }

  // Buffers that follow from the config (rotary frequencies and masks in old checkpoints), and factors by which
  // quantized runtimes scale inputs and the cache, but not the weights.
  static bool is_ignored(std::string_view name) {
    constexpr std::string_view endings[] = {"rotary_emb.inv_freq",
                                            "rotary_emb.cos_cached",
                                            "rotary_emb.sin_cached",
                                            "self_attn.bias",
                                            "self_attn.masked_bias",
                                            "input_scale",
                                            "input_scale_ub",
                                            "activation_scale",
                                            "k_scale",
                                            "v_scale",
                                            "q_scale"};
    return std::any_of(std::begin(endings), std::end(endings), [&](std::string_view ending) {
      if (name.size() < ending.size() || name.substr(name.size() - ending.size()) != ending) return false;
      return name.size() == ending.size() || name[name.size() - ending.size() - 1] == '.';
    });
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

}  // namespace

placed_tensors place_tensors(const checkpoint_config& config, const std::vector<safetensors_file>& files) {
  return placer(config, files).place();
}

}  // namespace hartonomous::checkpoint_detail
