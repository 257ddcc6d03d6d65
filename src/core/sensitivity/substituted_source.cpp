// A model with one tensor quantized in passing (hartonomous/sensitivity.hpp).
#include "hartonomous/codec.hpp"
#include "hartonomous/sensitivity.hpp"

#include <algorithm>

namespace hartonomous {

// Rounds the rows of another reader.
class substituted_reader final : public row_reader {
 public:
  substituted_reader(substituted_source& source, std::unique_ptr<row_reader> original, std::uint64_t first,
                     std::uint64_t columns)
      : source_(source), original_(std::move(original)), row_(first), columns_(columns) {}

  const float* next(std::size_t count) override {
    const float* const rows = original_->next(count);
    values_.assign(rows, rows + count * columns_);
    for (std::size_t i = 0; i < count; ++i) source_.round(row_++, values_.data() + i * columns_);
    return values_.data();
  }

 private:
  substituted_source& source_;
  std::unique_ptr<row_reader> original_;
  std::uint64_t row_, columns_;
  std::vector<float> values_;
};

substituted_source::substituted_source(tensor_source& original, std::string tensor, format f,
                                       std::vector<float> importance, interrupt_checker& interrupts)
    : original_(original),
      tensor_(std::move(tensor)),
      format_(f),
      importance_(std::move(importance)),
      interrupts_(interrupts) {
  const std::optional<matrix_shape> shape = original.find(tensor_);
  if (!shape) return;
  columns_ = shape->columns;
  const std::uint64_t experts = std::max<std::uint64_t>(1, importance_.size() / std::max<std::uint64_t>(1, columns_));
  expert_rows_ = std::max<std::uint64_t>(1, shape->rows / experts);
  blocks_.resize(bytes_of(f, columns_));
}

void substituted_source::round(std::uint64_t row, float* values) {
  span<const float> importance;
  if (!importance_.empty()) {
    const std::uint64_t expert = std::min(row / expert_rows_, importance_.size() / columns_ - 1);
    importance = {importance_.data() + expert * columns_, columns_};
  }
  quantize(format_, {values, columns_}, importance, blocks_.data(), interrupts_);
  dequantize(format_, blocks_, columns_, values, interrupts_);
}

std::unique_ptr<row_reader> substituted_source::open(const std::string& name, row_range rows) {
  std::unique_ptr<row_reader> original = original_.open(name, rows);
  if (name != tensor_) return original;
  return std::make_unique<substituted_reader>(*this, std::move(original), rows.first, columns_);
}

void substituted_source::read_rows(const std::string& name, span<const std::uint32_t> rows, float* out) {
  original_.read_rows(name, rows, out);
  if (name != tensor_) return;
  for (std::size_t i = 0; i < rows.size(); ++i) round(rows[i], out + i * columns_);
}

}  // namespace hartonomous
