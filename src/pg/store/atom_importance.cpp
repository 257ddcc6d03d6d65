// Computing the importance of stored atoms (atom_importance.hpp).
#include "pg/store/atom_importance.hpp"

#include "pg/base/guc.hpp"
#include "pg/base/interrupts.hpp"
#include "pg/base/memory.hpp"
#include "pg/base/progress_notice.hpp"
#include "pg/base/spi.hpp"
#include "pg/store/stored_matrix.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "hartonomous/importance.hpp"
#include "hartonomous/progress.hpp"

extern "C" {
#include "utils/array.h"
}

namespace hartonomous::pg {
namespace {

// The scores are passed to a query as an array.
constexpr std::uint64_t most_atoms = MaxArraySize;
constexpr float everything = -std::numeric_limits<float>::infinity();  // no atom is below it

// Computes the logarithms of one method, for some rows of a matrix after the other.
class scores {
 public:
  scores(Oid source, std::int64_t layer, const tensor_operation& operation)
      : matrix_(find_matrix(source, layer, operation.calibration_set.value_or(std::string()),
                            operation.calibration_revision)),
        method_(*operation.importance_method),
        damping_(operation.damping),
        pool_(static_cast<unsigned>(current_settings.threads)) {
    const atom_layout& layout = matrix_.layout;
    if (layout.atoms() > most_atoms) {
      throw error(sqlstate::program_limit_exceeded, "tensor \"" + matrix_.place.tensor + "\" has too many atoms", {},
                  "Import with a larger atom_size.");
    }
    work_bytes_ = layout.atoms() * 3 * sizeof(float) + matrix_.panel_rows() * layout.row_length * 2 * sizeof(float) +
                  matrix_.panel_rows() * layout.atoms_per_row() * 2 * sizeof(double);
    require_work_memory(work_bytes_, "computing the importance of atoms");
    if (method_ == "wanda" || method_ == "obs") {
      input_statistics statistics = require_input_statistics(matrix_.place);
      columns_ = column_energies(statistics.sums_of_squares);
      double sum = 0.0;
      for (const float s : statistics.sums_of_squares) sum += double{s};
      mean_ = sum / static_cast<double>(statistics.sums_of_squares.size());
    }
  }

  std::vector<float> logarithms() {
    std::vector<float> result(matrix_.layout.atoms(), std::numeric_limits<float>::quiet_NaN());
    for (std::uint64_t row = 0; row < matrix_.layout.rows;) {
      const std::uint64_t count = matrix_.panel_from(row);
      score_rows(row, count, result);
      row += count;
      report_progress(row);
    }
    return result;
  }

  const stored_matrix& matrix() const noexcept { return matrix_; }

 private:
  void score_rows(std::uint64_t first, std::uint64_t count, std::vector<float>& to) {
    weights_ = read_matrix(matrix_.atoms(), {first, count}, atoms_seen::by_snapshot);
    const std::uint64_t first_atom = matrix_.layout.first_atom(first);
    if (!columns_.empty()) score_by_inputs(first, count);
    for (const listed_atom& listed : list_atoms(matrix_.atoms(), {first, count}, everything)) {
      const std::uint64_t atom = listed.number;
      to[atom] = columns_.empty() ? log_root_mean_square(weights_of(atom, first), matrix_.layout.row_length)
                                  : static_cast<float>(std::log(values_[atom - first_atom]));
    }
  }

  span<const float> weights_of(std::uint64_t atom, std::uint64_t first_row) const {
    const atom_layout& layout = matrix_.layout;
    return {weights_.data() + (layout.offset_of(atom) - first_row * layout.row_length), layout.length_of(atom)};
  }

  // What is lost with an atom of several rows is the sum over its rows, each of which gives another output.
  void score_by_inputs(std::uint64_t first, std::uint64_t count) {
    const atom_layout& layout = matrix_.layout;
    const std::uint64_t of_row = layout.atoms_per_row(), first_atom = layout.first_atom(first);
    std::vector<double> of_rows(count * of_row, 0.0);
    if (method_ == "obs") {
      prepare_saliencies(matrix_.expert_of(first));
      saliencies_->compute(weights_, count, of_rows.data(), pool_, interrupts_);
    } else {
      add_energies(matrix_.expert_of(first), count, of_rows);
    }
    values_.assign(layout.end_atom(first + count) - first_atom, 0.0);
    for (std::uint64_t i = 0; i < of_rows.size(); ++i) {
      values_[layout.first_atom(first + i / of_row) - first_atom + i % of_row] += of_rows[i];
    }
  }

  void add_energies(std::size_t expert, std::uint64_t count, std::vector<double>& to) {
    const atom_layout& layout = matrix_.layout;
    for (std::uint64_t r = 0; r < count; ++r) {
      interrupts_.check();
      add_atom_energies(layout, {weights_.data() + r * layout.row_length, layout.row_length},
                        columns_.data() + expert * layout.row_length, to.data() + r * layout.atoms_per_row());
    }
  }

  void prepare_saliencies(std::size_t expert) {
    if (saliencies_ && expert == expert_) return;
    saliencies_.reset();
    const std::uint64_t n = matrix_.layout.row_length;
    require_work_memory(work_bytes_ + damped_hessian::bytes(n) + atom_saliencies::bytes(matrix_.layout),
                        "computing the saliency of atoms");
    stored_gram gram = require_gram(matrix_.place, expert);
    const double ridge = damped_hessian::ridge(gram.upper, n, damping_, mean_);
    const damped_hessian hessian(std::move(gram.upper), n, ridge, pool_, interrupts_);
    saliencies_.emplace(hessian, matrix_.layout, pool_, interrupts_);
    expert_ = expert;
  }

  void report_progress(std::uint64_t rows) {
    const double part = static_cast<double>(rows) / static_cast<double>(matrix_.layout.rows);
    const bool due = timer_.due();
    notice_progress(due, "scoring the atoms of tensor \"" + matrix_.place.tensor +
                             "\": " + std::to_string(static_cast<int>(100 * part)) + " %, " +
                             duration_text(timer_.left(part).value_or(0)) + " left");
  }

  stored_matrix matrix_;
  std::string method_;
  double damping_, mean_ = 0.0;
  std::uint64_t work_bytes_ = 0;
  std::vector<double> columns_;  // energies of the inputs; empty if weights alone count
  std::optional<atom_saliencies> saliencies_;
  std::size_t expert_ = 0;  // whose saliencies those are
  std::vector<float> weights_;
  std::vector<double> values_;
  thread_pool pool_;
  backend_interrupts interrupts_;
  progress_timer timer_;
};

// Adds what the rule gives for the tokens that atoms took part in.
void add_usage(const stored_matrix& matrix, std::vector<float>& importance) {
  const std::string query = "SELECT a.atom_sequence, u.usage_count FROM " + qualified_name(matrix.source) +
                            " a JOIN hartonomous.atom_usage_stats u ON u.model_id OPERATOR(pg_catalog.=) a.model_id "
                            "AND u.tensor_atom_id OPERATOR(pg_catalog.=) a.tensor_atom_id "
                            "WHERE a.model_id OPERATOR(pg_catalog.=) $1 AND a.layer_id OPERATOR(pg_catalog.=) $2 "
                            "AND u.usage_count OPERATOR(pg_catalog.>) 10";
  const query_result found =
      select(query.c_str(), "atom_usage_stats",
             {{INT4OID, Int32GetDatum(matrix.place.model)}, {INT8OID, Int64GetDatum(matrix.place.layer)}});
  backend_interrupts interrupts;
  for (std::uint64_t i = 0; i < found.rows(); ++i) {
    if (i % 4096 == 0) interrupts.check();
    const auto atom = static_cast<std::uint64_t>(found.integer(i, 1, 0));
    if (atom >= importance.size()) continue;
    importance[atom] += static_cast<float>(0.01 * static_cast<double>(found.bigint(i, 2)));
  }
}

}  // namespace

std::vector<float> atom_importance(Oid source, std::int64_t layer, const tensor_operation& operation) {
  scores method(source, layer, operation);
  std::vector<float> importance = method.logarithms();
  if (*operation.importance_method != "usage") {
    standardize_importance(importance);
    return importance;
  }
  std::vector<float> sums = importance;
  standardize_importance(sums);
  add_usage(method.matrix(), sums);
  for (std::size_t i = 0; i < sums.size(); ++i) {
    if (!std::isfinite(importance[i])) sums[i] = importance[i];
  }
  standardize_importance(sums);
  return sums;
}

}  // namespace hartonomous::pg
