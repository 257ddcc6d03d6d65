// A source of weights that knows the input of each matrix when it is opened (inside src/core/sequential only).
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hartonomous/tensor_source.hpp"

namespace hartonomous::sequential_detail {

// What a matrix is about to be multiplied with. Matrices with the same `group` have the same input.
struct matrix_input {
  std::size_t group = 0;
  const float* x = nullptr;  // tokens x columns
  std::size_t tokens = 0, columns = 0;
};

// Both the source and the observer of one transformer.
class watched_source : public tensor_source, public linear_observer {
 public:
  explicit watched_source(tensor_source& from) : from_(from) {}

  std::vector<std::string> names() const override { return from_.names(); }
  std::optional<matrix_shape> find(const std::string& name) const override { return from_.find(name); }
  void read_rows(const std::string& name, span<const std::uint32_t> rows, float* out) override {
    from_.read_rows(name, rows, out);
  }
  std::unique_ptr<row_reader> open(const std::string& name, row_range rows) override {
    if (input_.x == nullptr || name != about_to_be_read_) return from_.open(name, rows);
    return open_matrix(name, rows, input_);
  }

  // Matrices that share their input follow each other, and others have theirs elsewhere in memory.
  void input(const std::string& tensor, row_range /*rows*/, const float* x, std::size_t tokens,
             std::size_t columns) override {
    const bool same = x == input_.x && tokens == input_.tokens && columns == input_.columns;
    input_ = {same ? input_.group : input_.group + 1, x, tokens, columns};
    about_to_be_read_ = tensor;
  }
  void rows(const std::string& /*tensor*/, std::size_t /*first*/, std::size_t /*count*/, const float* /*weights*/,
            std::size_t /*columns*/) override {
    about_to_be_read_.clear();
  }
  void lookups(const std::string& /*tensor*/, std::size_t /*row*/, std::size_t /*tokens*/, const float* /*weights*/,
               std::size_t /*columns*/) override {}
  void stream(const float* x, std::size_t /*tokens*/, std::size_t /*width*/) override { stream_ = x; }

  // Before each block.
  void forget_inputs() { input_ = {}; }

 protected:
  virtual std::unique_ptr<row_reader> open_matrix(const std::string& name, row_range rows,
                                                  const matrix_input& input) = 0;
  tensor_source& from() noexcept { return from_; }
  const float* stream_now() const noexcept { return stream_; }

 private:
  tensor_source& from_;
  matrix_input input_;
  std::string about_to_be_read_;
  const float* stream_ = nullptr;
};

}  // namespace hartonomous::sequential_detail
