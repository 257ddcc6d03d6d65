// The tensors of a GGUF file in memory as a tensor_source: for tests and benchmarks, which have no database.
#pragma once

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "hartonomous/codec.hpp"
#include "hartonomous/gguf.hpp"
#include "hartonomous/network.hpp"

namespace hartonomous::network_test {

class gguf_tensors final : public tensor_source {
 public:
  explicit gguf_tensors(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    if (bytes.empty()) throw std::runtime_error("no file " + path);
    memory_source source(bytes.data(), bytes.size());
    no_interrupts none;
    const gguf_file header = read_gguf_header(source, none);
    metadata_ = header;
    for (const gguf_tensor& t : header.tensors) {
      matrix& m = matrices_[t.name];
      m.shape = {t.weights / t.dims.front(), t.dims.front()};
      m.values.resize(t.weights);
      dequantize(t.type, {reinterpret_cast<const std::byte*>(bytes.data()) + t.offset, t.bytes}, t.weights,
                 m.values.data(), none);
    }
  }

  struct matrix {
    matrix_shape shape;
    std::vector<float> values;
  };
  std::map<std::string, matrix>& matrices() { return matrices_; }
  gguf_metadata& metadata() { return metadata_; }
  std::map<std::string, int>& times_opened() { return opened_; }

  std::vector<std::string> names() const override {
    std::vector<std::string> names;
    for (const auto& [name, m] : matrices_) names.push_back(name);
    return names;
  }
  std::optional<matrix_shape> find(const std::string& name) const override {
    const auto found = matrices_.find(name);
    return found == matrices_.end() ? std::nullopt : std::optional<matrix_shape>(found->second.shape);
  }
  std::unique_ptr<row_reader> open(const std::string& name, row_range rows) override {
    ++opened_[name];
    return std::make_unique<reader>(matrices_.at(name), rows);
  }
  void read_rows(const std::string& name, span<const std::uint32_t> rows, float* out) override {
    const matrix& m = matrices_.at(name);
    for (std::uint32_t row : rows) {
      std::copy_n(m.values.data() + row * m.shape.columns, m.shape.columns, out);
      out += m.shape.columns;
    }
  }

 private:
  // Hands out copies that it spoils afterwards, so that nobody relies on them for longer than is promised.
  class reader final : public row_reader {
   public:
    reader(const matrix& m, row_range rows) : matrix_(m), next_(rows.first), end_(rows.first + rows.count) {
      if (end_ > m.shape.rows) throw std::logic_error("more rows opened than there are");
    }
    const float* next(std::size_t count) override {
      if (next_ + count > end_) throw std::logic_error("more rows asked for than there are");
      std::fill(panel_.begin(), panel_.end(), 1e30f);
      const float* from = matrix_.values.data() + next_ * matrix_.shape.columns;
      panel_.assign(from, from + count * matrix_.shape.columns);
      next_ += count;
      return panel_.data();
    }

   private:
    const matrix& matrix_;
    std::vector<float> panel_;
    std::size_t next_, end_;
  };

  gguf_metadata metadata_;
  std::map<std::string, matrix> matrices_;
  std::map<std::string, int> opened_;
};

}  // namespace hartonomous::network_test
