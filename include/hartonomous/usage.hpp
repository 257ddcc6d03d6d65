// How much each atom of a model contributes when a text is run. The energy of an atom with weights w in row i and
// columns B is the sum over tokens of the sum over j in B of (w_ij * x_j)^2, where x is the matrix's input (Sun et al.
// 2023, who call the criterion Wanda).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "hartonomous/network.hpp"
#include "hartonomous/space.hpp"

namespace hartonomous {

// An observer for transformer::observe(). It accumulates over everything that is run.
class usage_meter final : public linear_observer {
 public:
  using layout_lookup = std::function<atom_layout(const std::string& tensor)>;

  struct tensor_usage {
    atom_layout layout;
    std::vector<double> energies;       // of each atom
    std::vector<std::uint64_t> tokens;  // in which each took part
  };

  explicit usage_meter(layout_lookup layouts) : layouts_(std::move(layouts)) {}
  void input(const std::string& tensor, row_range rows, const float* x, std::size_t tokens,
             std::size_t columns) override;
  void rows(const std::string& tensor, std::size_t first, std::size_t count, const float* weights,
            std::size_t columns) override;
  void lookups(const std::string& tensor, std::size_t row, std::size_t tokens, const float* weights,
               std::size_t columns) override;
  const std::map<std::string, tensor_usage>& tensors() const noexcept { return tensors_; }

 private:
  tensor_usage& usage_of(const std::string& tensor);

  layout_lookup layouts_;
  std::map<std::string, tensor_usage> tensors_;
  std::vector<double> column_energy_;  // of the most recent input
  std::size_t input_tokens_ = 0;
};

}  // namespace hartonomous
