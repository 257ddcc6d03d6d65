// The importance of the atoms of a tensor, by any method (hartonomous/importance.hpp).
#pragma once

#include "pg/base/boundary.hpp"
#include "pg/store/tensor_operation.hpp"

#include <cstdint>
#include <vector>

namespace hartonomous::pg {

// For an operation "score": the standardized importance of each atom of a layer, in atom order; those of missing atoms
// mean nothing. Of the logarithms of
//   magnitude   the root mean square of the atom's weights, as an import computes it;
//   wanda       its energy;
//   obs         its saliency;
//   usage       as magnitude, but then 0.01 is added for each token that an atom took part in, if it were more than 10,
//               and the sums are standardized again. This is the rule of the design for SQL Server.
// `source` is the partition with the atoms. Needs an spi_session.
//
// Errors: 55000 if there are no statistics of the tensor, or they are damaged; 53200 beyond
// hartonomous.max_work_memory; 54000 if there are more atoms than an array holds (134 million); those of read_matrix()
// and damped_hessian.
std::vector<float> atom_importance(Oid source, std::int64_t layer, const tensor_operation& operation);

}  // namespace hartonomous::pg
