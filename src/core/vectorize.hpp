// Plain loops compiled for several instruction sets, the best taken at run time.
//
// Only for loops whose result does not depend on how many elements a register holds (no sum is reordered and
// -ffp-contract=off forbids fused operations): every clone gives the same bytes. Not under the sanitizers, whose
// run-time library is not ready yet when the loader chooses.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define HARTONOMOUS_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define HARTONOMOUS_CLONES
#endif
