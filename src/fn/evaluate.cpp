// Evaluation of language models (sql/api/evaluate.sql).
#include "pg/base/arrays.hpp"
#include "pg/base/composite.hpp"
#include "pg/base/progress_notice.hpp"
#include "pg/base/text.hpp"
#include "pg/model/arguments.hpp"
#include "pg/model/language_model.hpp"
#include "pg/model/sequential_job.hpp"
#include "pg/base/rows.hpp"
#include "pg/store/locked_snapshot.hpp"
#include "pg/store/tensor_cache.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>

#include "hartonomous/evaluate.hpp"
#include "hartonomous/generate.hpp"
#include "hartonomous/progress.hpp"
#include "hartonomous/text_comparison.hpp"
#include "hartonomous/usage.hpp"

using namespace hartonomous;
using namespace hartonomous::pg;

namespace {

// A token as text or, if it is not made of whole characters, as bytes: <0xE2>.
std::string token_text(const tokenizer& tokenizer, token_id token) {
  std::string piece;
  tokenizer.append_piece(piece, token, true);
  std::string text = utf8_stream_decoder().add(piece);
  if (text == piece) return text;
  text.clear();
  char byte[8];
  for (char c : piece) {
    std::snprintf(byte, sizeof byte, "<0x%02X>", static_cast<unsigned char>(c));
    text += byte;
  }
  return text;
}

// Reports the progress of an evaluation: as a NOTICE from time to time, at DEBUG1 after every pass of the model.
evaluation_watcher progress_notices() {
  return [timer = progress_timer()](const evaluation_progress& progress) mutable {
    const bool due = timer.due();
    if (!due && !progress.pass_ended) return;
    notice_progress(due, progress_text(progress, timer.left(progress.part)));
  };
}

// Predictions over different vocabularies cannot be compared token by token.
bool same_tokens(language_model& model, language_model& baseline, const std::string& text) {
  return &model.tokenizer() == &baseline.tokenizer() ||
         (model.network().vocabulary() == baseline.network().vocabulary() &&
          model.encode(text) == baseline.encode(text));
}

// Every token but the first is scored.
scored_text score_text(language_model& model, const std::string& text, std::uint32_t n_ctx) {
  const std::vector<token_id> tokens = model.encode(text);
  scored_text scored;
  std::string bytes;
  for (const token_id token : tokens) {
    const std::size_t before = bytes.size();
    model.tokenizer().append_piece(bytes, token, false);
    scored.ends.push_back((scored.ends.empty() ? 0 : scored.ends.back()) + bytes.size() - before);
  }
  const std::vector<score_window> windows = covering_windows(tokens, n_ctx, model.begin());
  scored.log_probabilities = score_windows(model.network(), windows, work_memory(), progress_notices());
  return scored;
}

// The row that measure_accuracy() returns.
struct measures_row {
  static constexpr int columns = 24;
  Datum values[columns] = {};
  bool nulls[columns] = {};
  int count = 0;

  void add_integers(std::uint32_t n_ctx, std::uint64_t tokens) {
    values[count++] = Int32GetDatum(static_cast<int32>(n_ctx));
    values[count++] = Int64GetDatum(static_cast<int64>(tokens));
  }
  // Without the same tokens there are no measures but perplexities.
  void add_measures(const model_comparison& c, bool with_baseline, bool compared) {
    add(c.perplexity, true);
    add(c.baseline_perplexity, with_baseline);
    add(c.perplexity_ratio, with_baseline);
    for (const estimate& e : {c.kl_divergence, c.same_top, c.probability_change, c.probability_change_rms}) {
      add(e, compared);
    }
    const token_quantiles& q = c.kl_quantiles;
    for (double v :
         {q.minimum, q.median, q.percentile_90, q.percentile_95, q.percentile_99, q.percentile_99_9, q.maximum}) {
      add(v, compared);
    }
    add(c.log_probability_correlation.value_or(0.0), c.log_probability_correlation.has_value());
  }

 private:
  void add(double value, bool valid) {
    nulls[count] = !valid;
    values[count++] = Float8GetDatum(value);
  }
  void add(const estimate& e, bool valid) {
    add(e.value, valid);
    add(e.standard_error, valid);
  }
};

}  // namespace

HARTONOMOUS_FUNCTION(perplexity) {
  const std::string of = text_argument(fcinfo, 1, "the text");
  const std::int32_t id = model_argument(fcinfo);
  const locked_snapshot snapshot(id);
  spi_session spi;
  language_model model(atoms_argument(fcinfo, 3, id));
  const std::vector<token_id> tokens = model.encode(of);
  const std::vector<score_window> windows = perplexity_windows(tokens, model.context(fcinfo, 2), model.begin());
  PG_RETURN_FLOAT8(perplexity_of(score_windows(model.network(), windows, work_memory(), progress_notices())).value);
}

HARTONOMOUS_FUNCTION(score_tokens) {
  const std::string of = text_argument(fcinfo, 1, "the text");
  result_rows rows(fcinfo);
  const std::int32_t id = model_argument(fcinfo);
  const locked_snapshot snapshot(id);
  spi_session spi;
  language_model model(atoms_argument(fcinfo, 3, id));
  const std::vector<token_id> tokens = model.encode(of);
  const std::vector<score_window> windows = covering_windows(tokens, model.context(fcinfo, 2), model.begin());
  const std::vector<double> scores = score_windows(model.network(), windows, work_memory(), progress_notices());
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const Datum values[] = {Int32GetDatum(static_cast<int32>(i)), Int32GetDatum(tokens[i]),
                            text_datum(token_text(model.tokenizer(), tokens[i])),
                            Float8GetDatum(i > 0 ? scores[i - 1] : 0.0)};
    const bool nulls[] = {false, false, false, i == 0};
    rows.add(values, nulls);
  }
  PG_RETURN_NULL();
}

// One row: the number of tokens, then value and standard error of each measure, then measures without an error.
// Measures that compare with a baseline are NULL if there is none.
HARTONOMOUS_FUNCTION(measure_accuracy) {
  const std::string of = text_argument(fcinfo, 1, "the text");
  const std::int32_t id = model_argument(fcinfo);
  const locked_snapshot snapshot(id);
  measures_row row;
  {
    spi_session spi;
    language_model model(atoms_argument(fcinfo, 3, id));
    const std::uint32_t n_ctx = model.context(fcinfo, 2);
    const std::vector<score_window> windows = perplexity_windows(model.encode(of), n_ctx, model.begin());
    model_comparison c;
    const bool with_baseline = !PG_ARGISNULL(4);
    bool compared = false;
    if (with_baseline) {
      language_model baseline(atoms_argument(fcinfo, 4, id));
      compared = same_tokens(model, baseline, of);
      if (compared) {
        c = compare_models(model.network(), baseline.network(), windows, work_memory(), progress_notices());
      } else {
        const text_comparison t = compare_texts(score_text(model, of, n_ctx), score_text(baseline, of, n_ctx));
        c.tokens = t.tokens;
        c.perplexity = t.perplexity;
        c.baseline_perplexity = t.baseline_perplexity;
        c.perplexity_ratio = t.perplexity_ratio;
      }
    } else {
      const std::vector<double> scores = score_windows(model.network(), windows, work_memory(), progress_notices());
      c.tokens = scores.size();
      c.perplexity = perplexity_of(scores);
    }
    row.add_integers(n_ctx, c.tokens);
    row.add_measures(c, with_baseline, compared);
  }
  return composite_datum(fcinfo, row.values, row.nulls);
}

// One row per tensor: for each atom, the number of tokens it was used for and its mean energy per token.
HARTONOMOUS_FUNCTION(measure_usage) {
  const std::string of = text_argument(fcinfo, 1, "the text");
  result_rows rows(fcinfo);
  const std::int32_t id = model_argument(fcinfo);
  const locked_snapshot snapshot(id);
  spi_session spi;
  language_model model(live_atoms(id));
  usage_meter meter([&](const std::string& name) { return model.tensors().tensor(name).layout; });
  model.network().observe(&meter);
  const std::vector<score_window> windows = covering_windows(model.encode(of), model.context(fcinfo, 2), model.begin());
  score_windows(model.network(), windows, work_memory(), progress_notices());
  for (const auto& [name, usage] : meter.tensors()) {
    ArrayType* energies = new_real_array(usage.energies.size());
    ArrayType* tokens = new_integer_array(usage.tokens.size());
    for (std::size_t i = 0; i < usage.energies.size(); ++i) {
      const auto used = static_cast<double>(std::max<std::uint64_t>(1, usage.tokens[i]));
      elements(energies)[i] = static_cast<float>(usage.energies[i] / used);
      integer_elements(tokens)[i] = static_cast<std::int32_t>(std::min<std::uint64_t>(usage.tokens[i], INT32_MAX));
    }
    const Datum values[] = {Int64GetDatum(model.tensors().tensor(name).layer), PointerGetDatum(tokens),
                            PointerGetDatum(energies)};
    const bool nulls[3] = {};
    rows.add(values, nulls);
    pfree(energies);
    pfree(tokens);
  }
  PG_RETURN_NULL();
}

HARTONOMOUS_FUNCTION(release_model_cache) {
  release_sequential_job();
  PG_RETURN_INT64(static_cast<int64>(tensor_cache::shrink(0)));
}
