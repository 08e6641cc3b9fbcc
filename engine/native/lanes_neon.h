// lanes_scalar.h on four 128-bit registers (AArch64).
#pragma once

#include <arm_neon.h>

#include <cstdint>

namespace {

struct F {
  float32x4_t v[4];
};
struct I {
  int32x4_t v[4];
};

template <class Op>
inline F map(Op op) {
  return {{op(0), op(1), op(2), op(3)}};
}

inline F splat(float x) {
  return map([&](int) { return vdupq_n_f32(x); });
}
inline F load(const float* p) {
  return map([&](int i) { return vld1q_f32(p + 4 * i); });
}
inline void store(float* p, F a) {
  for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, a.v[i]);
}
inline F add(F a, F b) {
  return map([&](int i) { return vaddq_f32(a.v[i], b.v[i]); });
}
inline F sub(F a, F b) {
  return map([&](int i) { return vsubq_f32(a.v[i], b.v[i]); });
}
inline F mul(F a, F b) {
  return map([&](int i) { return vmulq_f32(a.v[i], b.v[i]); });
}
inline F div(F a, F b) {
  return map([&](int i) { return vdivq_f32(a.v[i], b.v[i]); });
}
inline F fma(F a, F b, F c) {
  return map([&](int i) { return vfmaq_f32(c.v[i], a.v[i], b.v[i]); });
}
// Not vmaxq and vminq: of zeros of both signs, the second is the result.
inline float32x4_t larger(float32x4_t a, float32x4_t b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
inline F max(F a, F b) {
  return map([&](int i) { return larger(a.v[i], b.v[i]); });
}
inline F min(F a, F b) {
  return map([&](int i) { return vbslq_f32(vcltq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]); });
}
inline F abs(F a) {
  return map([&](int i) { return vabsq_f32(a.v[i]); });
}
inline F round(F a) {
  return map([&](int i) { return vrndnq_f32(a.v[i]); });
}
inline F first(int n, F a, F b) {
  const int32x4_t index = {0, 1, 2, 3};
  return map([&](int i) { return vbslq_f32(vcltq_s32(index, vdupq_n_s32(n - 4 * i)), a.v[i], b.v[i]); });
}
inline F times_exp2(F a, F n) {
  return map([&](int i) {
    const int32x4_t biased = vaddq_s32(vcvtq_s32_f32(n.v[i]), vdupq_n_s32(127));
    return vmulq_f32(a.v[i], vreinterpretq_f32_s32(vshlq_n_s32(biased, 23)));
  });
}
inline F load_half(const std::uint8_t* p) {
  return map([&](int i) { return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p + 8 * i))); });
}

inline I to_int(F a) {
  return {{vcvtnq_s32_f32(a.v[0]), vcvtnq_s32_f32(a.v[1]), vcvtnq_s32_f32(a.v[2]), vcvtnq_s32_f32(a.v[3])}};
}
inline I add(I a, I b) {
  return {{vaddq_s32(a.v[0], b.v[0]), vaddq_s32(a.v[1], b.v[1]), vaddq_s32(a.v[2], b.v[2]), vaddq_s32(a.v[3], b.v[3])}};
}
inline F to_float(I a) {
  return map([&](int i) { return vcvtq_f32_s32(a.v[i]); });
}
inline void store_bytes(std::int8_t* p, I a) {
  const int16x8_t low = vcombine_s16(vmovn_s32(a.v[0]), vmovn_s32(a.v[1]));
  const int16x8_t high = vcombine_s16(vmovn_s32(a.v[2]), vmovn_s32(a.v[3]));
  vst1q_s8(p, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
}
inline std::int32_t sum(I a) {
  return vaddvq_s32(vaddq_s32(vaddq_s32(a.v[0], a.v[1]), vaddq_s32(a.v[2], a.v[3])));
}
inline float sum(F a) {
  const float32x4_t four = vaddq_f32(vaddq_f32(a.v[0], a.v[2]), vaddq_f32(a.v[1], a.v[3]));
  const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
inline float maximum(F a) {
  const float32x4_t four = larger(larger(a.v[0], a.v[2]), larger(a.v[1], a.v[3]));
  const float32x4_t two = larger(four, vextq_f32(four, four, 2));
  return vgetq_lane_f32(larger(two, vextq_f32(two, two, 1)), 0);
}

}  // namespace
