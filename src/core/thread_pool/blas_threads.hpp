// How OpenBLAS is restricted to the calling thread.
//
// Of Debian's three builds only the OpenMP one can be used here. The pthread build creates its threads when it is
// loaded, with all signals unblocked: PostgreSQL's handlers would run on them. The serial build may not be called from
// several threads at once (USE_LOCKING is off): two calls can get the same buffer, and then both results are wrong. The
// OpenMP build has locks, and creates threads only if OpenMP allows the calling thread more than one.
#pragma once

extern "C" {
// From OpenMP's run-time library (omp.h comes with only one of the compilers); both concern the calling thread.
int omp_get_max_threads(void);
void omp_set_num_threads(int threads);
}
