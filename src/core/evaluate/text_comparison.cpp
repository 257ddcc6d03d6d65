// Comparing probabilities of the pieces of a text (text_comparison.hpp).
#include "hartonomous/text_comparison.hpp"

#include "hartonomous/error.hpp"

#include <cmath>
#include <cstddef>

namespace hartonomous {
namespace {

// Sums over the tokens of one vocabulary from one common end to the next.
class piece_reader {
 public:
  explicit piece_reader(const scored_text& text) : text_(text) {}
  bool done() const { return next_ == text_.ends.size(); }
  std::uint64_t end() const { return text_.ends[next_]; }
  void take() {
    if (next_ > 0) sum_ += text_.log_probabilities[next_ - 1];
    ++tokens_;
    ++next_;
  }
  void start() {
    sum_ = 0.0;
    tokens_ = 0;
  }
  double sum() const { return sum_; }
  std::uint64_t tokens() const { return tokens_; }

 private:
  const scored_text& text_;
  std::size_t next_ = 0;
  double sum_ = 0.0;
  std::uint64_t tokens_ = 0;
};

// Reads to the next place where both have a token's end; false if there is none.
bool next_piece(piece_reader& a, piece_reader& b) {
  a.start();
  b.start();
  while (!a.done() && !b.done()) {
    if (a.end() < b.end()) {
      a.take();
    } else if (b.end() < a.end()) {
      b.take();
    } else {
      a.take();
      b.take();
      return true;
    }
  }
  return false;
}

// exp of the mean per token, from the sums of so many pieces.
estimate per_token(const running_mean& pieces, std::uint64_t tokens) {
  const double scale = static_cast<double>(pieces.count()) / static_cast<double>(tokens);
  const double value = std::exp(pieces.mean() * scale);
  return {value, value * pieces.standard_error() * scale};
}

void require_same_text(const scored_text& a, const scored_text& b) {
  const bool whole = !a.ends.empty() && !b.ends.empty() && a.ends.back() == b.ends.back() &&
                     a.log_probabilities.size() + 1 == a.ends.size() && b.log_probabilities.size() + 1 == b.ends.size();
  if (!whole) throw error(sqlstate::invalid_parameter_value, "these are not the tokens of the same text");
}

}  // namespace

text_comparison compare_texts(const scored_text& model, const scored_text& baseline) {
  require_same_text(model, baseline);
  piece_reader m(model), b(baseline);
  running_mean loss, baseline_loss, difference;
  text_comparison found;
  for (bool first = true; next_piece(m, b); first = false) {
    if (first) continue;
    found.tokens += b.tokens();
    loss.add(-m.sum());
    baseline_loss.add(-b.sum());
    difference.add(b.sum() - m.sum());
  }
  if (found.tokens == 0) {
    throw error(sqlstate::invalid_parameter_value, "the tokens have no pieces of text in common",
                "Both vocabularies must end a token at the same place more than once.");
  }
  found.perplexity = per_token(loss, found.tokens);
  found.baseline_perplexity = per_token(baseline_loss, found.tokens);
  found.perplexity_ratio = per_token(difference, found.tokens);
  return found;
}

}  // namespace hartonomous
