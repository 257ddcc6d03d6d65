// How OpenBLAS is kept to the thread that calls it.
//
// Of Debian's three builds only OpenMP's can be used here. The pthread build makes its threads when it is loaded, with
// every signal open: PostgreSQL's handlers would run on them. The serial build is not made to be called from several
// threads at once (USE_LOCKING is off): two calls can get the same buffer, and both results are wrong. The OpenMP build
// locks, and makes threads only when OpenMP allows the calling thread more than one.
#pragma once

extern "C" {
// Of OpenMP's run-time library (omp.h comes with one compiler only); both are about the calling thread.
int omp_get_max_threads(void);
void omp_set_num_threads(int threads);
}
