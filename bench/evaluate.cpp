// Tokens a second of a forward pass written for one thread, whole float matrices and nothing else, on Eigen and
// OpenBLAS: what perplexity() in the database is measured against. Models of the llama architecture only.
//
// evaluate MODEL.gguf TEXT_FILE [N_CTX]; bench/evaluate.sh runs it beside the database.
#include "linear_algebra/eigen.hpp"

#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>

#include "../test/unit/gguf_tensors.hpp"
#include "hartonomous/evaluate.hpp"
#include "hartonomous/tokenizer.hpp"

using namespace hartonomous;

namespace {

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Eigen::Index;

class plain_model {
 public:
  explicit plain_model(network_test::gguf_tensors& tensors) : config_(read_hyperparameters(tensors.metadata())) {
    for (auto& [name, m] : tensors.matrices()) {
      weights_[name] = Eigen::Map<const matrix>(m.values.data(), static_cast<Index>(m.shape.rows),
                                                static_cast<Index>(m.shape.columns));
    }
    const auto size = static_cast<Index>(config_.head_size), context = static_cast<Index>(config_.context);
    angles_.resize(context, size / 2);
    for (Index p = 0; p < context; ++p) {
      for (Index i = 0; i < size / 2; ++i) {
        angles_(p, i) =
            static_cast<float>(static_cast<double>(p) *
                               std::pow(config_.rope.base, -2.0 * static_cast<double>(i) / static_cast<double>(size)));
      }
    }
    cosines_ = angles_.array().cos();
    sines_ = angles_.array().sin();
  }

  // Sum of -log p over the scored tokens.
  double loss(const score_window& window) const {
    const auto tokens = static_cast<Index>(window.tokens.size());
    matrix x(tokens, config_.width);
    for (Index t = 0; t < tokens; ++t) {
      x.row(t) = weight("token_embd").row(window.tokens[static_cast<std::size_t>(t)]);
    }
    for (std::uint32_t block = 0; block < config_.blocks; ++block) {
      const std::string prefix = "blk." + std::to_string(block) + ".";
      x += attention(norm(x, prefix + "attn_norm"), prefix);
      const matrix h = norm(x, prefix + "ffn_norm");
      matrix gate = h * weight(prefix + "ffn_gate").transpose();
      const matrix up = h * weight(prefix + "ffn_up").transpose();
      gate = gate.array() / (1.0f + (-gate.array()).exp()) * up.array();
      x += gate * weight(prefix + "ffn_down").transpose();
    }
    const auto first = static_cast<Index>(window.first) - 1, scored = static_cast<Index>(window.scored());
    const std::string output = weights_.count("output.weight") != 0 ? "output" : "token_embd";
    const matrix logits = norm(x.middleRows(first, scored), "output_norm") * weight(output).transpose();
    double sum = 0.0;
    for (Index t = 0; t < scored; ++t) {
      const float top = logits.row(t).maxCoeff();
      const double mass = (logits.row(t).array() - top).exp().cast<double>().sum();
      sum += std::log(mass) + top - logits(t, window.tokens[static_cast<std::size_t>(first + t) + 1]);
    }
    return sum;
  }

 private:
  const matrix& weight(const std::string& name) const { return weights_.at(name + ".weight"); }

  matrix norm(const matrix& x, const std::string& name) const {
    const Eigen::ArrayXf scale = (x.array().square().rowwise().mean() + config_.epsilon).rsqrt();
    return (x.array().colwise() * scale).rowwise() * weight(name).row(0).array();
  }

  void rotate(matrix& x, Index heads) const {
    const auto size = static_cast<Index>(config_.head_size);
    for (Index t = 0; t < x.rows(); ++t) {
      for (Index h = 0; h < heads; ++h) {
        float* head = x.row(t).data() + h * size;
        for (Index i = 0; i < size / 2; ++i) {
          const float a = head[2 * i], b = head[2 * i + 1], c = cosines_(t, i), s = sines_(t, i);
          head[2 * i] = a * c - b * s;
          head[2 * i + 1] = a * s + b * c;
        }
      }
    }
  }

  matrix attention(const matrix& x, const std::string& prefix) const {
    const auto size = static_cast<Index>(config_.head_size), heads = static_cast<Index>(config_.heads);
    const Index tokens = x.rows(), shared = heads / static_cast<Index>(config_.kv_heads);
    matrix q = x * weight(prefix + "attn_q").transpose(), k = x * weight(prefix + "attn_k").transpose();
    const matrix v = x * weight(prefix + "attn_v").transpose();
    rotate(q, heads);
    rotate(k, heads / shared);
    matrix out(tokens, heads * size), scores(tokens, tokens);
    for (Index h = 0; h < heads; ++h) {
      scores.noalias() = q.middleCols(h * size, size) * k.middleCols(h / shared * size, size).transpose();
      for (Index t = 0; t < tokens; ++t) {
        auto seen = scores.row(t).head(t + 1).array();
        seen = ((seen - seen.maxCoeff()) * config_.attention_scale).exp();
        seen /= seen.sum();
        scores.row(t).tail(tokens - t - 1).setZero();
      }
      out.middleCols(h * size, size).noalias() = scores * v.middleCols(h / shared * size, size);
    }
    return out * weight(prefix + "attn_output").transpose();
  }

  hyperparameters config_;
  std::map<std::string, matrix> weights_;
  matrix angles_, cosines_, sines_;
};

void report(const char* what, double loss, std::size_t scored, std::size_t tokens, double seconds) {
  std::printf("%s\t%.4f\t%.0f\n", what, std::exp(loss / static_cast<double>(scored)),
              static_cast<double>(tokens) / seconds);
}

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

void run(const char* path, const char* text_path, std::uint32_t n_ctx) {
  network_test::gguf_tensors tensors(path);
  std::ifstream file(text_path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  no_interrupts none;
  const auto words = tokenizer::create(tensors.metadata(), none);
  const auto begin = words->adds_bos() ? std::optional<token_id>(words->bos()) : std::nullopt;
  const std::vector<score_window> windows = perplexity_windows(words->encode(text, true, false, none), n_ctx, begin);
  const thread_pool one_thread;
  const plain_model plain(tensors);
  std::size_t scored = 0;
  double loss = 0.0, start = now();
  for (const score_window& w : windows) {
    loss += plain.loss(w);
    scored += w.scored();
  }
  report("plain Eigen and OpenBLAS, 1 thread", loss, scored, windows.size() * n_ctx, now() - start);
  for (unsigned threads : {1u, 2u}) {
    transformer network(read_hyperparameters(tensors.metadata()), tensors, threads, 64 << 20, none);
    start = now();
    const std::vector<double> scores = score_windows(network, windows, std::uint64_t{1} << 30);
    double sum = 0.0;
    for (double s : scores) sum -= s;
    report(threads == 1 ? "the core, 1 thread" : "the core, 2 threads", sum, scores.size(), windows.size() * n_ctx,
           now() - start);
  }
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 3) {
    std::fprintf(stderr, "usage: evaluate MODEL.gguf TEXT_FILE [N_CTX]\n");
    return 2;
  }
  run(argv[1], argv[2], argc > 3 ? static_cast<std::uint32_t>(std::strtoul(argv[3], nullptr, 10)) : 512);
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "evaluate: %s\n", e.what());
  return 1;
}
