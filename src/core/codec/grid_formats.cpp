// IQ1_S, IQ1_M, IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS and IQ3_S: groups of weights are rounded to points of a grid
// (grids.hpp).
#include "codec/grids.hpp"
#include "codec/scalar.hpp"

namespace hartonomous::codecs {
namespace {

template <class Layout>
void decode(const typename Layout::block& in, float* x) {
  const float d = scale_of(in);
  for (int g = 0; g < super_block / 8; ++g) {
    const float scale = Layout::scale(in, d, g / 2);
    const unsigned signs = Layout::signs(in, g);
    std::int8_t point[8];
    Layout::point(in, g, point);
    for (int i = 0; i < 8; ++i) {
      const int level = (signs >> i & 1) != 0 ? -point[i] : point[i];
      x[8 * g + i] = static_cast<float>(level) * scale;
    }
  }
}

template <class Layout>
constexpr auto decode_run = dequantize_run<typename Layout::block, super_block, decode<Layout>>;

}  // namespace

const codec scalar_iq1_s = {format::IQ1_S, decode_run<iq1_s_layout>, nullptr, 1, {0}};
const codec scalar_iq1_m = {format::IQ1_M, decode_run<iq1_m_layout>, nullptr, 0, {}};
const codec scalar_iq2_xxs = {format::IQ2_XXS, decode_run<iq2_xxs_layout>, nullptr, 1, {0}};
const codec scalar_iq2_xs = {format::IQ2_XS, decode_run<iq2_xs_layout>, nullptr, 1, {0}};
const codec scalar_iq2_s = {format::IQ2_S, decode_run<iq2_s_layout>, nullptr, 1, {0}};
const codec scalar_iq3_xxs = {format::IQ3_XXS, decode_run<iq3_xxs_layout>, nullptr, 1, {0}};
const codec scalar_iq3_s = {format::IQ3_S, decode_run<iq3_s_layout>, nullptr, 1, {0}};

}  // namespace hartonomous::codecs
