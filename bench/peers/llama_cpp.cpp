// llama.cpp beside which bench/quality.sh measures: its quantization, and what its own network makes of a file. Needs
// llama.cpp's headers and shared libraries; bench/quality.sh compiles it.
//
// Usage: llama_cpp LIBRARIES quantize IN.gguf OUT.gguf FILE_TYPE IMPORTANCE.gguf
//          writes what llama-quantize --imatrix does for that number of general.file_type
//        llama_cpp LIBRARIES compare BASE.gguf OTHER.gguf TEXT_FILE N_CTX
//          prints what llama-perplexity --kl-divergence does, as a line of fields that tabs separate: mean and standard
//          error of the KL divergence from BASE, the ratio of the perplexities, the share of equal first predictions
//        llama_cpp LIBRARIES logits MODEL.gguf OUTPUT VOCABULARY TOKENS
//          writes the logits of so many tokens, (i * i * 7 + i * 3 + 1) modulo the size of the vocabulary, as floats
//        llama_cpp LIBRARIES perplexity MODEL.gguf TEXT_FILE N_CTX OUTPUT
//          writes what llama-perplexity prints, but with keys and values in F32, and the share of tokens scored whose
//          prediction is the most probable token, as a line of fields that tabs separate
// LIBRARIES is the directory of the shared libraries, from which the backends are loaded.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "ggml-backend.h"
#include "ggml.h"
#include "gguf.h"
#include "llama.h"

namespace {

void log_errors(ggml_log_level level, const char* text, void*) {
  if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
}

// ---- quantize --------------------------------------------------------------------------------------------------

// The importance of the columns of each tensor: mean squares of its input, for experts one after the other.
struct importance {
  std::map<std::string, std::vector<float>> columns;
  std::string dataset;
  std::uint32_t chunks = 0;
};

// llama-imatrix writes both keys, and llama-quantize refuses files without them.
void read_keys(const gguf_context* file, importance& read) {
  const auto datasets = gguf_find_key(file, "imatrix.datasets"), chunks = gguf_find_key(file, "imatrix.chunk_count");
  if (datasets < 0 || chunks < 0) throw std::runtime_error("not an importance matrix");
  if (gguf_get_arr_n(file, datasets) > 0) read.dataset = gguf_get_arr_str(file, datasets, 0);
  read.chunks = gguf_get_val_u32(file, chunks);
}

std::vector<float> floats_of(const ggml_tensor* tensor) {
  const auto* data = static_cast<const float*>(tensor->data);
  return {data, data + ggml_nelements(tensor)};
}

// Reads a file of llama-imatrix: sums of squares and counts, of which an expert that was never used has none.
importance read_importance(const char* path) {
  const std::string sums = ".in_sum2";
  ggml_context* context = nullptr;
  gguf_context* file = gguf_init_from_file(path, {false, &context});
  if (file == nullptr) throw std::runtime_error(std::string("cannot read ") + path);
  importance read;
  read_keys(file, read);
  for (ggml_tensor* tensor = ggml_get_first_tensor(context); tensor != nullptr;
       tensor = ggml_get_next_tensor(context, tensor)) {
    const std::string name = tensor->name;
    if (name.size() <= sums.size() || name.substr(name.size() - sums.size()) != sums) continue;
    const std::string layer = name.substr(0, name.size() - sums.size());
    const std::vector<float> counts = floats_of(ggml_get_tensor(context, (layer + ".counts").c_str()));
    std::vector<float>& columns = read.columns[layer] = floats_of(tensor);
    const std::size_t width = columns.size() / counts.size();
    for (std::size_t i = 0; i < columns.size(); ++i) {
      const float count = counts[i / width];
      columns[i] = count > 0.0f ? columns[i] / count : 1.0f;
    }
  }
  gguf_free(file);
  ggml_free(context);
  return read;
}

llama_model_kv_override text_key(const char* key, const std::string& value) {
  llama_model_kv_override entry = {};
  entry.tag = LLAMA_KV_OVERRIDE_TYPE_STR;
  std::snprintf(entry.key, sizeof entry.key, "%s", key);
  std::snprintf(entry.val_str, sizeof entry.val_str, "%s", value.c_str());
  return entry;
}

llama_model_kv_override number_key(const char* key, std::size_t value) {
  llama_model_kv_override entry = {};
  entry.tag = LLAMA_KV_OVERRIDE_TYPE_INT;
  std::snprintf(entry.key, sizeof entry.key, "%s", key);
  entry.val_i64 = static_cast<std::int64_t>(value);
  return entry;
}

// Like the program, which besides calling the library's function writes down where the importance is from.
int quantize(const char* in, const char* out, const char* file_type, const char* importance_file) {
  const importance by = read_importance(importance_file);
  const llama_model_kv_override keys[] = {text_key("quantize.imatrix.file", importance_file),
                                          text_key("quantize.imatrix.dataset", by.dataset),
                                          number_key("quantize.imatrix.entries_count", by.columns.size()),
                                          number_key("quantize.imatrix.chunks_count", by.chunks),
                                          {}};
  std::vector<llama_model_imatrix_data> entries;
  for (const auto& [name, values] : by.columns) entries.push_back({name.c_str(), values.data(), values.size()});
  entries.push_back({nullptr, nullptr, 0});
  llama_model_quantize_params parameters = llama_model_quantize_default_params();
  parameters.ftype = static_cast<llama_ftype>(std::atoi(file_type));
  parameters.imatrix = entries.data();
  parameters.kv_overrides = keys;
  return llama_model_quantize(in, out, &parameters) == 0 ? 0 : 1;
}

// ---- compare ---------------------------------------------------------------------------------------------------

class network {
 public:
  network(const char* path, int tokens, ggml_type cache = GGML_TYPE_F16)
      : model_(llama_model_load_from_file(path, llama_model_default_params()), llama_model_free) {
    if (model_ == nullptr) throw std::runtime_error(std::string("cannot load ") + path);
    llama_context_params parameters = llama_context_default_params();
    parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = static_cast<std::uint32_t>(tokens);
    parameters.type_k = parameters.type_v = cache;
    parameters.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
    parameters.n_threads = parameters.n_threads_batch = 1;  // more would wait spinning where others work
    context_.reset(llama_init_from_model(model_.get(), parameters));
    if (context_ == nullptr) throw std::runtime_error(std::string("cannot run ") + path);
  }

  const llama_vocab* vocabulary() const { return llama_model_get_vocab(model_.get()); }

  // Runs a chunk by itself; then log_probabilities() tells of each of its places.
  void run(const std::vector<llama_token>& chunk) {
    llama_memory_clear(llama_get_memory(context_.get()), true);
    llama_batch batch = llama_batch_init(static_cast<int>(chunk.size()), 0, 1);
    for (std::size_t i = 0; i < chunk.size(); ++i) {
      batch.token[i] = chunk[i];
      batch.pos[i] = static_cast<llama_pos>(i);
      batch.n_seq_id[i] = 1;
      batch.seq_id[i][0] = 0;
      batch.logits[i] = 1;
    }
    batch.n_tokens = static_cast<int>(chunk.size());
    const int failed = llama_decode(context_.get(), batch);
    llama_batch_free(batch);
    if (failed != 0) throw std::runtime_error("llama_decode failed");
  }

  const float* logits(int place) const { return llama_get_logits_ith(context_.get(), place); }

  std::vector<double> log_probabilities(int place) const {
    const float* logits = this->logits(place);
    std::vector<double> log_p(logits, logits + llama_vocab_n_tokens(vocabulary()));
    const double most = *std::max_element(log_p.begin(), log_p.end());
    double sum = 0.0;
    for (const double logit : log_p) sum += std::exp(logit - most);
    for (double& logit : log_p) logit -= most + std::log(sum);
    return log_p;
  }

 private:
  std::unique_ptr<llama_model, decltype(&llama_model_free)> model_;
  std::unique_ptr<llama_context, decltype(&llama_free)> context_{nullptr, llama_free};
};

std::vector<llama_token> tokens_of(const llama_vocab* vocabulary, const char* path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(std::string("cannot read ") + path);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::vector<llama_token> tokens(text.size() + 2);
  const int count = llama_tokenize(vocabulary, text.data(), static_cast<int>(text.size()), tokens.data(),
                                   static_cast<int>(tokens.size()), true, false);
  tokens.resize(static_cast<std::size_t>(std::max(count, 0)));
  return tokens;
}

struct totals {
  double count = 0.0, divergence = 0.0, divergence_squares = 0.0, log_ratio = 0.0, same_top = 0.0;

  void add(const std::vector<double>& base, const std::vector<double>& other, std::size_t next) {
    double kl = 0.0;
    for (std::size_t i = 0; i < base.size(); ++i) kl += std::exp(base[i]) * (base[i] - other[i]);
    count += 1.0;
    divergence += kl;
    divergence_squares += kl * kl;
    log_ratio += base[next] - other[next];
    const auto top = [](const std::vector<double>& p) { return std::max_element(p.begin(), p.end()) - p.begin(); };
    same_top += top(base) == top(other) ? 1.0 : 0.0;
  }

  void print() const {
    const double mean = divergence / count;
    const double variance = (divergence_squares / count - mean * mean) / (count - 1.0);
    std::printf("%.9f\t%.9f\t%.6f\t%.6f\n", mean, std::sqrt(variance), std::exp(log_ratio / count), same_top / count);
  }
};

// The second half of each chunk is scored, whose first token is that which begins texts, if the model has one.
template <typename Score>
void for_chunks(const llama_vocab* vocabulary, const char* text, int n_ctx, const Score& score) {
  const std::vector<llama_token> tokens = tokens_of(vocabulary, text);
  for (std::size_t at = 0; at + static_cast<std::size_t>(n_ctx) <= tokens.size();
       at += static_cast<std::size_t>(n_ctx)) {
    const auto first = tokens.begin() + static_cast<std::ptrdiff_t>(at);
    std::vector<llama_token> chunk(first, first + n_ctx);
    const std::vector<llama_token> spelled = chunk;
    if (llama_vocab_get_add_bos(vocabulary)) chunk[0] = llama_vocab_bos(vocabulary);
    score(chunk, spelled);
  }
}

int perplexity(const char* path, const char* text, const char* length, const char* output) {
  const int n_ctx = std::atoi(length);
  network model(path, n_ctx, GGML_TYPE_F32);
  double count = 0.0, sum = 0.0, hits = 0.0;
  for_chunks(model.vocabulary(), text, n_ctx, [&](const auto& chunk, const auto& spelled) {
    model.run(chunk);
    for (int place = n_ctx / 2; place < n_ctx - 1; ++place) {
      const auto next = static_cast<std::size_t>(spelled[static_cast<std::size_t>(place) + 1]);
      const std::vector<double> log_p = model.log_probabilities(place);
      count += 1.0;
      sum += log_p[next];
      hits +=
          std::max_element(log_p.begin(), log_p.end()) - log_p.begin() == static_cast<std::ptrdiff_t>(next) ? 1.0 : 0.0;
    }
  });
  std::ofstream file(output);
  file.precision(9);
  file << std::exp(-sum / count) << '\t' << hits / count << '\n';
  return file ? 0 : 1;
}

int compare(const char* base_path, const char* other_path, const char* text, const char* length) {
  const int n_ctx = std::atoi(length);
  network base(base_path, n_ctx), other(other_path, n_ctx);
  totals sums;
  for_chunks(base.vocabulary(), text, n_ctx, [&](const auto& chunk, const auto& spelled) {
    base.run(chunk);
    other.run(chunk);
    for (int place = n_ctx / 2; place < n_ctx - 1; ++place) {
      const auto next = static_cast<std::size_t>(spelled[static_cast<std::size_t>(place) + 1]);
      sums.add(base.log_probabilities(place), other.log_probabilities(place), next);
    }
  });
  sums.print();
  return 0;
}

// Computed with keys and values in F32.
int logits(const char* path, const char* output, const char* words, const char* count) {
  const int vocabulary = std::atoi(words), length = std::atoi(count);
  std::vector<llama_token> tokens;
  for (int i = 0; i < length; ++i) tokens.push_back((i * i * 7 + i * 3 + 1) % vocabulary);
  network model(path, length, GGML_TYPE_F32);
  model.run(tokens);
  std::ofstream file(output, std::ios::binary);
  for (int i = 0; i < length; ++i) {
    file.write(reinterpret_cast<const char*>(model.logits(i)),
               static_cast<std::streamsize>(vocabulary * static_cast<int>(sizeof(float))));
  }
  return file ? 0 : 1;
}

int run(int count, char** values) {
  const std::string command = count == 7 ? values[2] : "";
  if (command != "quantize" && command != "compare" && command != "logits" && command != "perplexity") {
    std::fputs(
        "usage: llama_cpp LIBRARIES quantize IN.gguf OUT.gguf FILE_TYPE IMPORTANCE.gguf\n"
        "       llama_cpp LIBRARIES compare BASE.gguf OTHER.gguf TEXT_FILE N_CTX\n"
        "       llama_cpp LIBRARIES logits MODEL.gguf OUTPUT VOCABULARY TOKENS\n"
        "       llama_cpp LIBRARIES perplexity MODEL.gguf TEXT_FILE N_CTX OUTPUT\n",
        stderr);
    return 2;
  }
  llama_log_set(log_errors, nullptr);
  ggml_backend_load_all_from_path(values[1]);
  llama_backend_init();
  if (command == "perplexity") return perplexity(values[3], values[4], values[5], values[6]);
  if (command == "logits") return logits(values[3], values[4], values[5], values[6]);
  return command == "quantize" ? quantize(values[3], values[4], values[5], values[6])
                               : compare(values[3], values[4], values[5], values[6]);
}

}  // namespace

int main(int count, char** values) {
  try {
    return run(count, values);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
