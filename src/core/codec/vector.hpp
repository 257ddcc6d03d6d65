// The vector codecs for the best instruction set of this processor (hartonomous/simd.hpp), one function per format.
// They give the same bytes and floats as the scalar codecs (scalar.hpp). Without vector instructions they are the
// scalar codecs.
#pragma once

#include "hartonomous/codec.hpp"

namespace hartonomous::codecs {

// vector_plain.cpp
const codec& vector_f16();
const codec& vector_bf16();

// vector_legacy.cpp
const codec& vector_q8_0();
const codec& vector_q4_0();
const codec& vector_q4_1();
const codec& vector_q5_0();
const codec& vector_q5_1();

// vector_iq4_nl_iq4_xs.cpp
const codec& vector_iq4_nl();
const codec& vector_iq4_xs();

// vector_grid_formats.cpp
const codec& vector_iq1_s();
const codec& vector_iq1_m();
const codec& vector_iq2_xxs();
const codec& vector_iq2_xs();
const codec& vector_iq2_s();
const codec& vector_iq3_xxs();
const codec& vector_iq3_s();

// vector_mxfp4_nvfp4.cpp
const codec& vector_mxfp4();
const codec& vector_nvfp4();

// vector_tq1_0_tq2_0.cpp
const codec& vector_tq1_0();
const codec& vector_tq2_0();

// vector_q1_0_q2_0.cpp
const codec& vector_q1_0();
const codec& vector_q2_0();

// vector_q2_k_q3_k.cpp
const codec& vector_q2_k();
const codec& vector_q3_k();
// vector_q4_k_q5_k.cpp
const codec& vector_q4_k();
const codec& vector_q5_k();
// vector_q6_k.cpp
const codec& vector_q6_k();

}  // namespace hartonomous::codecs
