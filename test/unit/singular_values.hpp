// The singular values of a matrix as Eigen computes them, which tests compare with ours.
#pragma once

#include "linear_algebra/eigen.hpp"

namespace hartonomous {

// All of them, descending. In a file of its own, because Eigen's code takes longer to compile than any test.
Eigen::VectorXd singular_values(const Eigen::MatrixXd& matrix);

}  // namespace hartonomous
