// Where a network's weights come from, a panel of rows at a time, and an observer of what they are multiplied with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hartonomous/span.hpp"

namespace hartonomous {

struct matrix_shape {
  std::uint64_t rows = 0;  // 1 for a vector
  std::uint64_t columns = 0;
};

// A range of a tensor's rows, such as those of one expert.
struct row_range {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};

// Rows of one tensor, one after the other.
class row_reader {
 public:
  row_reader() = default;
  row_reader(const row_reader&) = delete;
  row_reader& operator=(const row_reader&) = delete;
  virtual ~row_reader() = default;
  // The next `count` rows, row-major, valid until the next call. Callers never ask for more than there are.
  virtual const float* next(std::size_t count) = 0;
};

// Storage of weights. Missing weights are zeros.
class tensor_source {
 public:
  tensor_source() = default;
  tensor_source(const tensor_source&) = delete;
  tensor_source& operator=(const tensor_source&) = delete;
  virtual ~tensor_source() = default;
  virtual std::vector<std::string> names() const = 0;
  virtual std::optional<matrix_shape> find(const std::string& name) const = 0;
  // Returns a reader of those rows; the ones before them are not read. Several readers may be open at a time, also of
  // the same tensor.
  virtual std::unique_ptr<row_reader> open(const std::string& name, row_range rows) = 0;
  // Reads the given rows, which are ascending and distinct, into `out`.
  virtual void read_rows(const std::string& name, span<const std::uint32_t> rows, float* out) = 0;
};

// Observes the input of each matrix, and its weights a panel of rows at a time.
class linear_observer {
 public:
  linear_observer() = default;
  linear_observer(const linear_observer&) = delete;
  linear_observer& operator=(const linear_observer&) = delete;
  virtual ~linear_observer() = default;
  // Called before those rows of the matrix are read (all, or those of one expert), with their input: tokens x columns.
  virtual void input(const std::string& tensor, row_range rows, const float* x, std::size_t tokens,
                     std::size_t columns) = 0;
  virtual void rows(const std::string& tensor, std::size_t first, std::size_t count, const float* weights,
                    std::size_t columns) = 0;
  // Called for the embedding instead: one row, and how many tokens look it up.
  virtual void lookups(const std::string& tensor, std::size_t row, std::size_t tokens, const float* weights,
                       std::size_t columns) = 0;
  // Called after the last matrix of an expert, with its outputs for the tokens that chose it, tokens x width, and the
  // router's weight of each, which they have not been multiplied with yet.
  virtual void routed(const std::string& /*tensor*/, std::uint32_t /*expert*/, const float* /*y*/,
                      span<const float> /*weights*/, std::size_t /*width*/) {}
  // Whether attended() is to be called, which takes more time.
  virtual bool attends() const { return false; }
  // Called after the attention of a block with the inputs of its keys, tokens x columns, and what it made of them. For
  // each token one of the heads counts, in turn: `weights` has the sum of the attention that these heads pay to each
  // token, and `means`, tokens x columns, the mean of the inputs that the head of each token sees, weighted by its
  // attention. Only of sequences without a cache.
  virtual void attended(const std::string& /*keys*/, const float* /*x*/, span<const float> /*weights*/,
                        const float* /*means*/, std::size_t /*tokens*/, std::size_t /*columns*/) {}
  // Called before each block and whenever something has been added to the residual stream, tokens x width. It stays at
  // this address and keeps these values until the next call in the same block.
  virtual void stream(const float* /*x*/, std::size_t /*tokens*/, std::size_t /*width*/) {}
};

}  // namespace hartonomous
