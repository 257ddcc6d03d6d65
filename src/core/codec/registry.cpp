// The codec of each format (hartonomous/codec.hpp).
#include "codec/scalar.hpp"
#include "codec/vector.hpp"

namespace hartonomous {
namespace {

struct entry {
  const codec& scalar;
  const codec& (*vector)();
};

template <const codec& Scalar>
const codec& only_scalar() {
  return Scalar;
}

const entry* find_entry(format f) noexcept {
  using namespace codecs;
  static const entry all[] = {
      {scalar_f32, only_scalar<scalar_f32>},
      {scalar_f16, vector_f16},
      {scalar_bf16, vector_bf16},
      {scalar_q8_0, vector_q8_0},
      {scalar_q4_0, vector_q4_0},
      {scalar_q4_1, vector_q4_1},
      {scalar_q5_0, vector_q5_0},
      {scalar_q5_1, vector_q5_1},
      {scalar_iq4_nl, vector_iq4_nl},
      {scalar_iq4_xs, vector_iq4_xs},
      {scalar_iq1_s, vector_iq1_s},
      {scalar_iq1_m, vector_iq1_m},
      {scalar_iq2_xxs, vector_iq2_xxs},
      {scalar_iq2_xs, vector_iq2_xs},
      {scalar_iq2_s, vector_iq2_s},
      {scalar_iq3_xxs, vector_iq3_xxs},
      {scalar_iq3_s, vector_iq3_s},
      {scalar_mxfp4, vector_mxfp4},
      {scalar_nvfp4, vector_nvfp4},
      {scalar_tq1_0, vector_tq1_0},
      {scalar_tq2_0, vector_tq2_0},
      {scalar_q1_0, vector_q1_0},
      {scalar_q2_0, vector_q2_0},
      {scalar_q2_k, vector_q2_k},
      {scalar_q3_k, vector_q3_k},
      {scalar_q4_k, vector_q4_k},
      {scalar_q5_k, vector_q5_k},
      {scalar_q6_k, vector_q6_k},
  };
  for (const entry& one : all) {
    if (one.scalar.id == f) return &one;
  }
  return nullptr;
}

}  // namespace

const codec* find_scalar_codec(format f) noexcept {
  const entry* found = find_entry(f);
  return found != nullptr ? &found->scalar : nullptr;
}

const codec* find_codec(format f) noexcept {
  const entry* found = find_entry(f);
  return found != nullptr ? &found->vector() : nullptr;
}

}  // namespace hartonomous
