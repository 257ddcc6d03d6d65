// The steps of batch.hpp with vector instructions.
#include "hessian/batch.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "hessian/kernels.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include "hessian/kernels-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace hartonomous::hessian_detail::HWY_NAMESPACE {

const kernels& kernels_of_target() { return these_kernels(); }

}  // namespace hartonomous::hessian_detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hartonomous::hessian_detail {

HWY_EXPORT(kernels_of_target);

const kernels& best_kernels() { return HWY_DYNAMIC_DISPATCH(kernels_of_target)(); }

}  // namespace hartonomous::hessian_detail
#endif  // HWY_ONCE
