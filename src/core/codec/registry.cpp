// Which codec knows which format, and which table of codecs this processor runs.
#include "scalar.hpp"

namespace hartonomous {

const codec_table& scalar_codecs() noexcept {
  using namespace codecs;
  static const codec list[] = {scalar_f32,  scalar_f16,  scalar_bf16, scalar_q8_0, scalar_q4_0,
                               scalar_q4_1, scalar_q5_0, scalar_q5_1, scalar_q2_k, scalar_q3_k,
                               scalar_q4_k, scalar_q5_k, scalar_q6_k};
  static const codec_table table = {"scalar", list, sizeof list / sizeof list[0]};
  return table;
}

const codec_table& best_codecs() noexcept { return scalar_codecs(); }

const codec* find_codec(format f, const codec_table& table) noexcept {
  for (std::size_t i = 0; i < table.count; ++i) {
    if (table.codecs[i].id == f) return &table.codecs[i];
  }
  const codec_table& fallback = scalar_codecs();
  return &table != &fallback ? find_codec(f, fallback) : nullptr;
}

}  // namespace hartonomous
