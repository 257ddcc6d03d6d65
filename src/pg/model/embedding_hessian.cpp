// Summing the matrices that read what an embedding begins (embedding_hessian.hpp).
#include "pg/model/embedding_hessian.hpp"

#include "pg/base/interrupts.hpp"
#include "pg/base/memory.hpp"
#include "pg/base/progress_notice.hpp"
#include "pg/model/language_model.hpp"
#include "pg/store/tensor_cache.hpp"

#include <string>

#include "hartonomous/embedding_gram.hpp"
#include "hartonomous/progress.hpp"

namespace hartonomous::pg {

std::optional<stored_gram> gram_of_embedding(const calibration_place& place, model_tensors& tensors,
                                             thread_pool& pool) {
  if (place.tensor != "token_embd.weight" || read_input_statistics(place)) return std::nullopt;
  require_work_memory(embedding_gram_bytes(place.columns), "summing the matrices that read the embedding");
  backend_interrupts interrupts;
  progress_timer timer;
  const auto tell = [&](double part) {
    if (!timer.due()) return;
    notice_progress(true, "read " + std::to_string(static_cast<int>(100 * part)) +
                              " % of the matrices that read tensor \"" + place.tensor + "\"");
  };
  stored_gram gram;
  gram.columns = place.columns;
  gram.upper = embedding_gram(tensors, stored_hyperparameters(tensors.atoms()), tell, pool, interrupts);
  if (gram.upper.size() != triangle_size(place.columns)) {
    throw error(sqlstate::object_not_in_prerequisite_state,
                "tensor \"" + place.tensor + "\" is not as wide as the model's hyperparameters say");
  }
  return gram;
}

}  // namespace hartonomous::pg
