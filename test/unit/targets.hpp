// Runs a test once for each instruction set that is compiled in and that this processor has.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>

#include "hartonomous/simd.hpp"

namespace hartonomous {

template <class Test>
void for_each_target(Test test) {
  for (const std::int64_t target : simd_targets()) {
    const forced_simd_target forced(target);
    SCOPED_TRACE(simd_target());
    test();
  }
}

}  // namespace hartonomous
