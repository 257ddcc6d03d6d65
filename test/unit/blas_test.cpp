// Linear algebra on several threads at once: OpenBLAS gives each the right result and makes no threads itself.
#include "linear_algebra/eigen.hpp"
#include "linear_algebra/symmetric_eigen.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <memory>
#include <vector>

#include "thread_pool/blas_threads.hpp"

namespace hartonomous {
namespace {

using Eigen::MatrixXd;
using Eigen::MatrixXf;

std::ptrdiff_t threads_of_this_process() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"), std::filesystem::directory_iterator());
}

TEST(Blas, MakesNoThreads) {
  const thread_pool pool;
  const MatrixXf a = MatrixXf::Random(1500, 1500);
  const MatrixXf product = a * a;
  EXPECT_GT(product.norm(), 0.0f);
  EXPECT_EQ(threads_of_this_process(), 1);
}

TEST(Blas, IsHeldToOneThreadUntilTheLastObjectEnds) {
  omp_set_num_threads(3);
  auto first = std::make_unique<thread_pool>(), second = std::make_unique<thread_pool>();
  EXPECT_EQ(omp_get_max_threads(), 1);
  first.reset();
  EXPECT_EQ(omp_get_max_threads(), 1);
  second.reset();
  EXPECT_EQ(omp_get_max_threads(), 3);
}

TEST(Blas, ProductsAtTheSameTimeAreRight) {
  thread_pool pool(8);
  no_interrupts none;
  srand(1);
  const MatrixXf a = MatrixXf::Random(300, 200), b = MatrixXf::Random(200, 48);
  const MatrixXf expected = a * b;
  const Eigen::VectorXf expected_vector = a * b.col(0);
  std::vector<int> wrong(20000);
  pool.run(wrong.size(), none, [&](std::size_t i) {
    const MatrixXf product = a * b;
    const Eigen::VectorXf vector = a * b.col(0);
    wrong[i] = (product != expected ? 1 : 0) + (vector != expected_vector ? 1 : 0);
  });
  EXPECT_EQ(std::count(wrong.begin(), wrong.end(), 0), static_cast<std::ptrdiff_t>(wrong.size()));
}

TEST(Blas, EigenvectorsAtTheSameTimeAreRight) {
  thread_pool pool(8);
  no_interrupts none;
  srand(2);
  const MatrixXd a = MatrixXd::Random(60, 60), large = MatrixXd::Random(560, 560);
  const MatrixXd g = a + a.transpose(), h = large + large.transpose();
  thread_pool alone;
  const MatrixXd expected = symmetric_eigen(g, alone, none).vectors(60),
                 of_large = symmetric_eigen(h, alone, none).vectors(400);
  std::vector<int> wrong(1000);
  pool.run(wrong.size(), none, [&](std::size_t i) {
    thread_pool inner;
    no_interrupts quiet;
    wrong[i] = symmetric_eigen(g, inner, quiet).vectors(60) != expected ? 1 : 0;
  });
  EXPECT_EQ(std::count(wrong.begin(), wrong.end(), 1), 0);
  for (int repeat = 0; repeat < 5; ++repeat) EXPECT_EQ(symmetric_eigen(h, pool, none).vectors(400), of_large);
}

}  // namespace
}  // namespace hartonomous
