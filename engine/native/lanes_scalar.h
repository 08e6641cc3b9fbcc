// 16 floats or integers handled together, in plain C++: the definition that the other lanes_*.h must equal bit for bit.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace {

struct F {
  float v[16];
};
struct I {
  std::int32_t v[16];
};

template <class Op>
inline F map(Op op) {
  F r;
  for (int i = 0; i < 16; ++i) r.v[i] = op(i);
  return r;
}

inline F splat(float x) {
  return map([&](int) { return x; });
}
inline F load(const float* p) {
  return map([&](int i) { return p[i]; });
}
inline void store(float* p, F a) { std::memcpy(p, a.v, sizeof a.v); }
inline F add(F a, F b) {
  return map([&](int i) { return a.v[i] + b.v[i]; });
}
inline F sub(F a, F b) {
  return map([&](int i) { return a.v[i] - b.v[i]; });
}
inline F mul(F a, F b) {
  return map([&](int i) { return a.v[i] * b.v[i]; });
}
inline F div(F a, F b) {
  return map([&](int i) { return a.v[i] / b.v[i]; });
}
inline F fma(F a, F b, F c) {
  return map([&](int i) { return std::fma(a.v[i], b.v[i], c.v[i]); });
}
inline F max(F a, F b) {
  return map([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline F min(F a, F b) {
  return map([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
inline F abs(F a) {
  return map([&](int i) { return std::fabs(a.v[i]); });
}
inline F round(F a) {
  return map([&](int i) { return std::nearbyint(a.v[i]); });
}
// The first n lanes of a, the others of b.
inline F first(int n, F a, F b) {
  return map([&](int i) { return i < n ? a.v[i] : b.v[i]; });
}

// a times 2 ** n for whole n in -126 .. 127.
inline F times_exp2(F a, F n) {
  return map([&](int i) { return std::ldexp(a.v[i], static_cast<int>(n.v[i])); });
}

inline float half_to_float(std::uint16_t h) {
  const int exponent = h >> 10 & 31;
  const int mantissa = h & 1023;
  const float magnitude = exponent == 0    ? std::ldexp(static_cast<float>(mantissa), -24)
                          : exponent == 31 ? (mantissa ? NAN : INFINITY)
                                           : std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
  return h & 0x8000 ? -magnitude : magnitude;
}
inline F load_half(const std::uint8_t* p) {
  return map([&](int i) {
    std::uint16_t h;
    std::memcpy(&h, p + 2 * i, sizeof h);
    return half_to_float(h);
  });
}

inline I to_int(F a) {
  I r;
  for (int i = 0; i < 16; ++i) r.v[i] = static_cast<std::int32_t>(std::nearbyint(a.v[i]));
  return r;
}
inline I add(I a, I b) {
  for (int i = 0; i < 16; ++i) a.v[i] += b.v[i];
  return a;
}
inline F to_float(I a) {
  return map([&](int i) { return static_cast<float>(a.v[i]); });
}
inline void store_bytes(std::int8_t* p, I a) {
  for (int i = 0; i < 16; ++i) p[i] = static_cast<std::int8_t>(a.v[i]);
}
inline std::int32_t sum(I a) {
  std::int32_t r = 0;
  for (int i = 0; i < 16; ++i) r += a.v[i];
  return r;
}
inline float sum(F a) {
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) a.v[i] += a.v[i + half];
  return a.v[0];
}
inline float maximum(F a) {
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) a.v[i] = a.v[i] > a.v[i + half] ? a.v[i] : a.v[i + half];
  return a.v[0];
}

}  // namespace
