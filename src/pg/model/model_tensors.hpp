// A stored model as a source of weights for the core.
#pragma once

#include "pg/store/atom_reader.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "hartonomous/network.hpp"

namespace hartonomous::pg {

// Reads through the tensor cache of the session. Must be created and used within an spi_session.
class model_tensors final : public tensor_source {
 public:
  explicit model_tensors(atom_set atoms);

  std::vector<std::string> names() const override;
  std::optional<matrix_shape> find(const std::string& name) const override;
  std::unique_ptr<row_reader> open(const std::string& name, row_range rows) override;
  void read_rows(const std::string& name, span<const std::uint32_t> rows, float* out) override;
  std::int32_t model() const noexcept { return reader_.atoms().model(); }
  const atom_set& atoms() const noexcept { return reader_.atoms(); }
  // Raises 42704 if there is no tensor of that name.
  const stored_tensor& tensor(const std::string& name) const;

 private:
  struct entry {
    stored_tensor stored;
    std::string dtype;
    std::optional<atom_reader::fingerprint> state;  // once computed; the snapshot does not change
  };
  const atom_reader::fingerprint& state_of(entry& e);

  atom_reader reader_;
  std::map<std::string, entry> tensors_;
};

}  // namespace hartonomous::pg
