// The Hessian of a tensor's input, made from the Gram matrix in the store (hartonomous/hessian.hpp).
#pragma once

#include "pg/store/calibration_statistics.hpp"

#include <cstdint>
#include <cstddef>
#include <memory>

#include "hartonomous/hessian.hpp"

namespace hartonomous::pg {

// That of one of the matrices in a tensor. Making it can take as long as quantizing the tensor, so the session keeps
// the last one while other tensors of the model have the same input, but only as long as the stored matrix is the same.
// Only tensors of one matrix are kept. An error frees what is kept.
//
// With `again` it keeps it in any case: the caller asks for the same one next.
//
// Needs an spi_session. Errors: 55000 if there is no Gram matrix or it is damaged; 53200 if this and `more_bytes`
// exceed hartonomous.max_work_memory; those of input_hessian.
std::shared_ptr<const input_hessian> layer_hessian(const calibration_place& place, std::size_t expert, double damping,
                                                   std::uint64_t more_bytes, thread_pool& pool,
                                                   interrupt_checker& interrupts, bool again = false);

// The same from a Gram matrix that is not stored; never kept.
std::shared_ptr<const input_hessian> hessian_of(const stored_gram& gram, double damping, std::uint64_t more_bytes,
                                                thread_pool& pool, interrupt_checker& interrupts);

// The same from the Gram matrix of the gradients by the outputs of the tensor, which has `rows` rows; never kept.
std::unique_ptr<const input_hessian> output_hessian(const calibration_place& place, std::size_t rows, double damping,
                                                    std::uint64_t more_bytes, thread_pool& pool,
                                                    interrupt_checker& interrupts);

}  // namespace hartonomous::pg
