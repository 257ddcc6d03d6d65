// What an error in the embedding of a token does to a network, as far as its weights tell.
//
// A row of an embedding that is not also the output matrix is no matrix with an input: it begins the residual stream,
// and every matrix that reads the stream multiplies an error in it. So the rows are quantized against
//
//   G = sum over the matrices W that read the stream of n / tr(D Wᵀ W D) * D Wᵀ W D,  D = diag(weights of the norm),
//
// where n is the width of the stream, so that all matrices count the same: those of attention's queries, keys and
// values and the first ones of the feed-forward networks in all blocks, experts included, and the output matrix. It is
// the Gram matrix of their rows, as that of a matrix's inputs is of tokens; the scale of RMSNorm differs between
// tokens, but not within a row. No text is needed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "hartonomous/hyperparameters.hpp"
#include "hartonomous/interrupt.hpp"
#include "hartonomous/tensor_source.hpp"
#include "hartonomous/thread_pool.hpp"

namespace hartonomous {

// The upper triangle of G, row after row, each from the diagonal on. It does not depend on the number of threads.
// `watcher` is called with the part that is done, up to 1.
//
// Errors: 55000 if a matrix or a norm is missing or has the wrong shape, or a weight is not finite.
std::vector<float> embedding_gram(tensor_source& source, const hyperparameters& config,
                                  const std::function<void(double)>& watcher, thread_pool& pool,
                                  interrupt_checker& interrupts);

// Memory in bytes that it takes, the result included, for a stream of that many numbers.
std::uint64_t embedding_gram_bytes(std::size_t width) noexcept;

}  // namespace hartonomous
