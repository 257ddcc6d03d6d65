// Making and keeping Hessians (layer_hessian.hpp).
#include "pg/store/layer_hessian.hpp"

#include "pg/base/memory.hpp"
#include "pg/base/text.hpp"

#include <algorithm>
#include <string>

extern "C" {
#include "access/xact.h"
#include "common/hashfn.h"
}

namespace hartonomous::pg {
namespace {

struct kept_hessian {
  std::uint64_t hash;  // of the Gram matrix
  double damping;
  std::shared_ptr<const input_hessian> hessian;
};
kept_hessian* kept = nullptr;

void forget() {
  delete kept;
  kept = nullptr;
}

void forget_after_error(XactEvent event, void*) {
  if (event == XACT_EVENT_ABORT) forget();
}

void keep(std::uint64_t hash, double damping, std::shared_ptr<const input_hessian> hessian) {
  static bool registered = false;
  if (!registered) call([] { RegisterXactCallback(forget_after_error, nullptr); });
  registered = true;
  forget();
  kept = new kept_hessian{hash, damping, std::move(hessian)};
}

std::uint64_t hash_of(const std::vector<float>& numbers, interrupt_checker& interrupts) {
  constexpr std::size_t piece = std::size_t{1} << 22;
  std::uint64_t hash = numbers.size();
  for (std::size_t at = 0; at < numbers.size(); at += piece) {
    interrupts.check();
    const std::size_t count = std::min(piece, numbers.size() - at);
    hash = hash_bytes_extended(reinterpret_cast<const unsigned char*>(numbers.data() + at),
                               static_cast<int>(count * sizeof(float)), hash);
  }
  return hash;
}

// Whether tensors after this one have the same input.
bool is_shared_later(const calibration_place& place) {
  return select(
             "SELECT FROM hartonomous.calibration_stats s, hartonomous.calibration_stats t "
             "WHERE s.model_id OPERATOR(pg_catalog.=) $1 AND s.revision_id OPERATOR(pg_catalog.=) $2 "
             "AND s.calibration_set OPERATOR(pg_catalog.=) $3 AND s.layer_id OPERATOR(pg_catalog.=) $4 "
             "AND t.model_id OPERATOR(pg_catalog.=) $1 AND t.revision_id OPERATOR(pg_catalog.=) $2 "
             "AND t.calibration_set OPERATOR(pg_catalog.=) $3 AND t.layer_id OPERATOR(pg_catalog.>) $4 "
             "AND t.gram_layer_id OPERATOR(pg_catalog.=) s.gram_layer_id LIMIT 1",
             "calibration_stats",
             {{INT4OID, Int32GetDatum(place.model)},
              {INT4OID, Int32GetDatum(place.revision)},
              {TEXTOID, text_datum(place.calibration_set)},
              {INT8OID, Int64GetDatum(place.layer)}})
             .rows() > 0;
}

input_hessian::row_reader rows_of(const stored_gram& gram) {
  return [&gram](std::size_t i, double* out) {
    const float* const from = gram.upper.data() + triangle_row(gram.columns, i);
    std::copy(from, from + (gram.columns - i), out);
  };
}

// Making the Hessian, and using it.
void require_memory(std::size_t columns, std::uint64_t more_bytes) {
  require_work_memory(std::max(input_hessian::work_bytes(columns) + triangle_size(columns) * sizeof(float),
                               input_hessian::bytes(columns) + more_bytes),
                      "the Hessian of a tensor's input");
}

}  // namespace

std::shared_ptr<const input_hessian> hessian_of(const stored_gram& gram, double damping, std::uint64_t more_bytes,
                                                thread_pool& pool, interrupt_checker& interrupts) {
  require_memory(gram.columns, more_bytes);
  return std::make_shared<const input_hessian>(gram.columns, rows_of(gram), damping, pool, interrupts);
}

std::unique_ptr<const input_hessian> output_hessian(const calibration_place& place, std::size_t rows, double damping,
                                                    std::uint64_t more_bytes, thread_pool& pool,
                                                    interrupt_checker& interrupts) {
  require_memory(rows, more_bytes);
  const std::optional<stored_gram> gram = read_gradient_gram(place, rows);
  if (!gram) {
    throw error(sqlstate::object_not_in_prerequisite_state,
                "calibration set \"" + place.calibration_set + "\" has no gradients of tensor \"" + place.tensor + "\"",
                {}, "CALL hartonomous.collect_calibration(model, calibration_set, statistics => 'fisher');");
  }
  return std::make_unique<const input_hessian>(rows, rows_of(*gram), damping, pool, interrupts);
}

std::shared_ptr<const input_hessian> layer_hessian(const calibration_place& place, std::size_t expert, double damping,
                                                   std::uint64_t more_bytes, thread_pool& pool,
                                                   interrupt_checker& interrupts, bool again) {
  require_memory(place.columns, more_bytes);
  const stored_gram gram = require_gram(place, expert);
  const std::uint64_t hash = hash_of(gram.upper, interrupts);
  std::shared_ptr<const input_hessian> hessian;
  if (kept != nullptr && kept->hash == hash && kept->damping == damping && kept->hessian->columns() == place.columns) {
    hessian = kept->hessian;
  } else {
    forget();
    hessian = std::make_shared<const input_hessian>(place.columns, rows_of(gram), damping, pool, interrupts);
  }
  if (place.experts == 1 && (again || is_shared_later(place))) {
    keep(hash, damping, hessian);
  } else {
    forget();
  }
  return hessian;
}

}  // namespace hartonomous::pg
