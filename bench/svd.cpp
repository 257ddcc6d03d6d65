// Truncated singular value decomposition, for bench/svd.sh.
//
//   svd make FILE ROWS COLUMNS   writes a matrix: float32, row after row, singular values 1, 2^-1/2, 3^-1/2, ...
//   svd serve                    answers lines of standard input, fields separated by tabs:
//     decompose FILE ROWS COLUMNS RANK SEED THREADS   seconds, error, its excess, explained variance
//     measure FILE ROWS COLUMNS RANK FACTORS          error, its excess: of U, s and Vt in a file, as in `make`
//
// Errors are relative, in the Frobenius norm; the excess is over the least that the rank allows, in per cent. One
// program measures all contenders, and the least error is known: it follows from the singular values.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "hartonomous/svd.hpp"

namespace {

using namespace hartonomous;

// Power 2 of the k-th singular value, from 1.
double squared_value(std::size_t k) { return 1.0 / static_cast<double>(k); }

// ---- the matrices ------------------------------------------------------------------------------------------------

// An orthogonal matrix: three times random signs and a Hadamard transform. Dense, as good as Gaussian vectors
// orthogonalised for a method that starts from random vectors, and exact to rounding in double.
class rotation {
 public:
  rotation(std::size_t size, std::uint64_t seed) : size_(size), signs_(3 * size) {
    if (size == 0 || (size & (size - 1)) != 0) throw std::invalid_argument("sizes must be powers of 2");
    std::mt19937_64 generator(seed);
    const double scale = 1.0 / std::sqrt(static_cast<double>(size));
    for (double& sign : signs_) sign = (generator() & 1) != 0 ? scale : -scale;
  }

  // Of `width` vectors at once: element i of vector j is at[i * stride + j].
  void apply(double* at, std::size_t stride, std::size_t width) const {
    for (const double* signs = signs_.data(); signs != signs_.data() + signs_.size(); signs += size_) {
      for (std::size_t i = 0; i < size_; ++i) {
        for (std::size_t j = 0; j < width; ++j) at[i * stride + j] *= signs[i];
      }
      for (std::size_t half = 1; half < size_; half *= 2) {
        for (std::size_t i = 0; i < size_; ++i) {
          if ((i & half) == 0) butterfly(at + i * stride, at + (i + half) * stride, width);
        }
      }
    }
  }

 private:
  static void butterfly(double* a, double* b, std::size_t width) {
    for (std::size_t j = 0; j < width; ++j) {
      const double sum = a[j] + b[j], difference = a[j] - b[j];
      a[j] = sum;
      b[j] = difference;
    }
  }

  std::size_t size_;
  std::vector<double> signs_;
};

std::vector<float> make_matrix(std::size_t rows, std::size_t columns) {
  std::vector<double> matrix(rows * columns);
  for (std::size_t k = 0; k < std::min(rows, columns); ++k) matrix[k * columns + k] = std::sqrt(squared_value(k + 1));
  const rotation right(columns, 1), left(rows, 2);
  for (std::size_t row = 0; row < rows; ++row) right.apply(matrix.data() + row * columns, 1, 1);
  // Panels that stay in the cache.
  const std::size_t width = std::min<std::size_t>(columns, 32);
  for (std::size_t from = 0; from < columns; from += width) left.apply(matrix.data() + from, columns, width);
  return {matrix.begin(), matrix.end()};
}

double least_error(std::size_t rows, std::size_t columns, std::size_t rank) {
  double all = 0.0, left = 0.0;
  for (std::size_t k = std::min(rows, columns); k > 0; --k) {
    all += squared_value(k);
    if (k > rank) left += squared_value(k);
  }
  return std::sqrt(left / all);
}

// ---- files -------------------------------------------------------------------------------------------------------

void write_floats(const std::string& path, const std::vector<float>& numbers) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(numbers.data()),
             static_cast<std::streamsize>(numbers.size() * sizeof(float)));
  file.close();
  if (!file) throw std::runtime_error("could not write " + path);
}

std::vector<float> read_floats(const std::string& path, std::size_t count) {
  std::vector<float> numbers(count);
  std::ifstream file(path, std::ios::binary);
  const auto bytes = static_cast<std::streamsize>(count * sizeof(float));
  if (!file.read(reinterpret_cast<char*>(numbers.data()), bytes) || file.peek() != std::ifstream::traits_type::eof()) {
    throw std::runtime_error(path + " does not have " + std::to_string(count) + " numbers");
  }
  return numbers;
}

// ---- answers -----------------------------------------------------------------------------------------------------

struct matrix_file {
  std::string path;
  std::size_t rows = 0, columns = 0;
  std::vector<float> numbers;
};

void print_error(const matrix_file& matrix, const factor_view& factors) {
  thread_pool pool;
  no_interrupts none;
  const double error = factor_error(matrix.numbers, factors, pool, none);
  const double least = least_error(matrix.rows, matrix.columns, factors.rank);
  std::printf("%.9g\t%.9g", error, 100.0 * (error / least - 1.0));
}

void decompose(const matrix_file& matrix, const svd_request& request, unsigned threads) {
  using clock = std::chrono::steady_clock;
  no_interrupts none;
  const clock::time_point start = clock::now();
  const svd_factors found = [&] {
    thread_pool pool(threads);
    return truncated_svd(matrix.numbers, matrix.rows, matrix.columns, request, pool, none);
  }();
  std::printf("%.6f\t", std::chrono::duration<double>(clock::now() - start).count());
  print_error(matrix, {matrix.rows, matrix.columns, found.rank, found.u, found.s, found.vt});
  std::printf("\t%.9g", found.explained_variance);
}

void measure(const matrix_file& matrix, std::size_t rank, const std::string& path) {
  const std::vector<float> factors = read_floats(path, rank * (matrix.rows + 1 + matrix.columns));
  const span<const float> all(factors);
  const std::size_t u_size = matrix.rows * rank;
  print_error(matrix, {matrix.rows, matrix.columns, rank, all.subspan(0, u_size), all.subspan(u_size, rank),
                       all.subspan(u_size + rank, rank * matrix.columns)});
}

void answer(const std::string& line, matrix_file& matrix) {
  std::istringstream fields(line);
  std::string what, path, factors;
  std::size_t rows = 0, columns = 0;
  svd_request request;
  unsigned threads = 0;
  fields >> what >> path >> rows >> columns >> request.rank;
  const bool decomposing = what == "decompose";
  if (decomposing) {
    fields >> request.seed >> threads;
  } else {
    fields >> factors;
  }
  if (!fields || (!decomposing && what != "measure")) throw std::invalid_argument("cannot read: " + line);
  if (matrix.path != path) matrix = {path, rows, columns, read_floats(path, rows * columns)};
  decomposing ? decompose(matrix, request, threads) : measure(matrix, request.rank, factors);
  std::printf("\n");
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) try {
  const std::string what = argc > 1 ? argv[1] : "";
  if (what == "make" && argc == 5) {
    write_floats(argv[2], make_matrix(std::strtoull(argv[3], nullptr, 10), std::strtoull(argv[4], nullptr, 10)));
  } else if (what == "serve" && argc == 2) {
    matrix_file matrix;
    for (std::string line; std::getline(std::cin, line);) answer(line, matrix);
  } else {
    std::fprintf(stderr, "usage: svd make FILE ROWS COLUMNS | svd serve\n");
    return 2;
  }
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "svd: %s\n", e.what());
  return 1;
}
