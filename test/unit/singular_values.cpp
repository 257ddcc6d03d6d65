// The only file that compiles Eigen's singular value decomposition (singular_values.hpp).
#include "singular_values.hpp"

#include <Eigen/SVD>

namespace hartonomous {

Eigen::VectorXd singular_values(const Eigen::MatrixXd& matrix) {
  return Eigen::BDCSVD<Eigen::MatrixXd>(matrix).singularValues();
}

}  // namespace hartonomous
