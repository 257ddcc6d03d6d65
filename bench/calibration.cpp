// What collecting Gram matrices costs besides the forward pass, in the core alone: seconds of the blocks' forward pass,
// of one that collects the diagonal, and of one that collects Gram matrices, in turns; medians, and their ratios. First
// on a model and a text, then on one block of random weights of a wider model.
//
// calibration MODEL.gguf TEXT_FILE [TOKENS ROUNDS]; bench/calibration.sh runs it beside the database.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>

#include "../test/unit/gguf_tensors.hpp"
#include "hartonomous/calibration.hpp"
#include "hartonomous/tokenizer.hpp"

using namespace hartonomous;

namespace {

constexpr std::uint64_t enough = std::uint64_t{8} << 30;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

class no_sink final : public calibration_sink {
 public:
  void sums(span<const input_sums>) override {}
  void panel(const gram_panel&) override {}
};

// One block of a llama. All rows of a matrix are the same ones, so that it takes little memory and no time to read.
class wide_block final : public tensor_source {
 public:
  wide_block(std::uint64_t width, std::uint64_t inner, std::uint64_t kv_width) {
    shapes_ = {{"token_embd.weight", {1000, width}},         {"output_norm.weight", {1, width}},
               {"blk.0.attn_norm.weight", {1, width}},       {"blk.0.attn_q.weight", {width, width}},
               {"blk.0.attn_k.weight", {kv_width, width}},   {"blk.0.attn_v.weight", {kv_width, width}},
               {"blk.0.attn_output.weight", {width, width}}, {"blk.0.ffn_norm.weight", {1, width}},
               {"blk.0.ffn_gate.weight", {inner, width}},    {"blk.0.ffn_up.weight", {inner, width}},
               {"blk.0.ffn_down.weight", {width, inner}}};
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0.0f, 0.02f);
    values_.resize(std::size_t{4} << 20);
    for (float& v : values_) v = normal(random);
  }
  std::vector<std::string> names() const override {
    std::vector<std::string> names;
    for (const auto& [name, shape] : shapes_) names.push_back(name);
    return names;
  }
  std::optional<matrix_shape> find(const std::string& name) const override {
    const auto found = shapes_.find(name);
    return found == shapes_.end() ? std::nullopt : std::optional<matrix_shape>(found->second);
  }
  std::unique_ptr<row_reader> open(const std::string&, row_range) override {
    return std::make_unique<same_rows>(values_.data());
  }
  void read_rows(const std::string& name, span<const std::uint32_t> rows, float* out) override {
    const std::uint64_t columns = shapes_.at(name).columns;
    for (std::uint32_t row : rows) out = std::copy_n(values_.data() + row * 97, columns, out);
  }

 private:
  struct same_rows final : row_reader {
    explicit same_rows(const float* values) : values_(values) {}
    const float* next(std::size_t) override { return values_; }
    const float* values_;
  };
  std::map<std::string, matrix_shape> shapes_;
  std::vector<float> values_;
};

hyperparameters wide_config(std::uint32_t width, std::uint32_t inner, std::uint32_t kv_heads) {
  const auto number = [](const char* key, std::uint32_t value) {
    return std::string(",{\"key\":\"llama.") + key + "\",\"type\":\"u32\",\"value\":" + std::to_string(value) + "}";
  };
  gguf_metadata metadata;
  metadata_from_json(R"({"format":"gguf","version":3,"alignment":32,"kv":[)"
                     R"({"key":"general.architecture","type":"string","value":"llama"},)"
                     R"({"key":"llama.attention.layer_norm_rms_epsilon","type":"f32","value":1e-5})" +
                         number("block_count", 1) + number("context_length", 512) + number("embedding_length", width) +
                         number("feed_forward_length", inner) + number("attention.head_count", width / 128) +
                         number("attention.head_count_kv", kv_heads) + "]}",
                     metadata);
  return read_hyperparameters(metadata);
}

double seconds(const hyperparameters& config, tensor_source& source, unsigned threads,
               const std::vector<token_id>& tokens, std::optional<statistics_kind> kind) {
  no_interrupts none;
  no_sink sink;
  transformer network(config, source, threads, 64 << 20, none);
  calibration run(tokens, std::min<std::uint32_t>(512, config.context), std::nullopt);
  const double start = now();
  while (run.next_step() <= config.blocks) run.run_step(network, kind, enough, sink);
  return now() - start;
}

void compare(const std::string& what, const hyperparameters& config, tensor_source& source,
             const std::vector<token_id>& tokens, int rounds) {
  for (unsigned threads : {1u, 2u}) {
    std::array<std::vector<double>, 3> taken;
    for (int round = 0; round < rounds; ++round) {
      taken[0].push_back(seconds(config, source, threads, tokens, std::nullopt));
      taken[1].push_back(seconds(config, source, threads, tokens, statistics_kind::diagonal));
      taken[2].push_back(seconds(config, source, threads, tokens, statistics_kind::gram));
    }
    std::array<double, 3> median{};
    for (std::size_t i = 0; i < taken.size(); ++i) {
      std::sort(taken[i].begin(), taken[i].end());
      median[i] = taken[i][taken[i].size() / 2];
    }
    std::printf("%s, %u thread%s\t%zu\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\n", what.c_str(), threads, threads == 1 ? "" : "s",
                tokens.size(), median[0], median[1], median[2], median[1] / median[0], median[2] / median[0]);
    std::fflush(stdout);
  }
}

void run(const char* path, const char* text_path, std::size_t count, int rounds) {
  network_test::gguf_tensors tensors(path);
  std::ifstream file(text_path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  no_interrupts none;
  std::vector<token_id> tokens = tokenizer::create(tensors.metadata(), none)->encode(text, true, false, none);
  tokens.resize(std::min(tokens.size(), count));
  compare("the model", read_hyperparameters(tensors.metadata()), tensors, tokens, rounds);
  std::vector<token_id> others(std::min<std::size_t>(count, 4096));
  for (std::size_t i = 0; i < others.size(); ++i) others[i] = static_cast<token_id>(i * i % 1000);
  wide_block medium(2048, 5632, 512);
  compare("a block of 2048 and 5632", wide_config(2048, 5632, 4), medium, others, rounds);
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 3) {
    std::fprintf(stderr, "usage: calibration MODEL.gguf TEXT_FILE [TOKENS ROUNDS]\n");
    return 2;
  }
  run(argv[1], argv[2], argc > 3 ? std::strtoul(argv[3], nullptr, 10) : 20000, argc > 4 ? std::atoi(argv[4]) : 5);
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "calibration: %s\n", e.what());
  return 1;
}
