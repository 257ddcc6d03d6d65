// The Gram matrix that stands for the input of an embedding which has none (hartonomous/embedding_gram.hpp).
#pragma once

#include "pg/model/model_tensors.hpp"
#include "pg/store/calibration_statistics.hpp"

#include <optional>

#include "hartonomous/thread_pool.hpp"

namespace hartonomous::pg {

// Of the weights of `tensors`. No value unless the place is of the embedding of tokens and has no statistics: one that
// is also the output matrix has some. Needs an spi_session. Errors: those of embedding_gram(); 53200 beyond
// hartonomous.max_work_memory.
std::optional<stored_gram> gram_of_embedding(const calibration_place& place, model_tensors& tensors, thread_pool& pool);

}  // namespace hartonomous::pg
