// Sums the inputs of the matrices of one step (inside src/core/calibration only).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "calibration/gram_panels.hpp"
#include "hartonomous/calibration.hpp"

namespace hartonomous::calibration_detail {

// A panel of the Gram matrix of one input that is summed in a pass.
struct panel_job {
  std::size_t input = 0;  // among the distinct inputs of the step
  std::uint32_t expert = 0;
  matrix_rows rows;
};

class input_meter final : public linear_observer {
 public:
  // `inputs` are those of the step, shared ones included. Multiplications are reported to `watcher`. `what` they are of
  // a tensor is for messages.
  input_meter(transformer& network, span<const linear_input> inputs, const std::function<void(double)>& watcher,
              const char* what = "input");

  // The distinct inputs.
  const std::vector<linear_input>& inputs() const noexcept { return inputs_; }
  const std::vector<input_sums>& sums() const noexcept { return sums_; }
  // Begins another pass, in which the sums of squares stay as they are if there was one before.
  void begin_pass(span<const panel_job> jobs);
  // Ends it. Error 55000 if an input was not finite.
  void end_pass();
  // A panel of the pass; false if no token reached it.
  bool triangle(std::size_t job, std::vector<float>& out) const;

  void input(const std::string& tensor, row_range rows, const float* x, std::size_t tokens,
             std::size_t columns) override;
  void rows(const std::string&, std::size_t, std::size_t, const float*, std::size_t) override {}
  void lookups(const std::string&, std::size_t, std::size_t, const float*, std::size_t) override {}
  void routed(const std::string& tensor, std::uint32_t expert, const float* y, span<const float> weights,
              std::size_t width) override;
  // If the pass has panels of an input whose tokens are weighted.
  bool attends() const override { return attends_; }
  void attended(const std::string& keys, const float* x, span<const float> weights, const float* means,
                std::size_t tokens, std::size_t columns) override;
  // Adds the sum over tokens of (weight + attended_share) x xᵀ.
  void weighted(const std::string& tensor, const float* x, span<const float> weights, std::size_t tokens,
                std::size_t columns);

 private:
  struct running_panel {
    panel_job job;
    token_sums sums;
  };

  void add_squares(input_sums& to, std::uint32_t expert, const float* x, std::size_t tokens, std::size_t columns);
  // The sum over tokens of left rightᵀ.
  void add_products(std::size_t input, std::uint32_t expert, const float* left, const float* right, std::size_t tokens,
                    std::size_t columns);

  transformer& network_;
  const std::function<void(double)>& watcher_;
  const char* what_;
  std::vector<linear_input> inputs_;
  std::map<std::string, std::size_t> numbers_;  // of the inputs, by the first tensor
  std::map<std::string, std::string> shared_;   // tensors with the input of another one
  std::vector<input_sums> sums_;
  std::vector<running_panel> panels_;
  std::vector<float> weighted_;  // inputs times their weights
  bool attends_ = false;
  bool counting_ = false, counted_ = false;  // whether this pass sums the squares, or an earlier one has
  const float* last_ = nullptr;              // the most recent input
};

}  // namespace hartonomous::calibration_detail
