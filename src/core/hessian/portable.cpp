// The steps of batch.hpp without any vector instructions: the same source, compiled for the target of Highway whose
// vectors are single numbers. Vector code must give the same bits.
#undef HWY_COMPILE_ONLY_STATIC  // of the fuzzers, which cannot be defined as well
#define HWY_COMPILE_ONLY_SCALAR 1
#include <hwy/highway.h>

#include "hessian/batch.hpp"
#include "hessian/kernels-inl.hpp"

namespace hartonomous::hessian_detail {

const kernels& portable_kernels() { return HWY_NAMESPACE::these_kernels(); }

}  // namespace hartonomous::hessian_detail
