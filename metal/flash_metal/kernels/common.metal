// Shared by every kernel that reads quantized values.
//
// House rules of these texts, so that Metal, CUDA and the host agree on them:
//  * a product that feeds a sum is an explicit fma, so that no compiler can
//    contract it in one instance (M = 1) and not in another (M = 8);
//  * helpers name the address space; SIMD-group operations and barriers stand
//    in uniform flow only; every output element is written;
//  * no vector arithmetic: vec<T, N> is only a unit of loading.

// The fields of a packed 32-bit word, lowest first, as floats less `zero`.
// A field that is or-ed into the bits of 2^23 is the float 2^23 + field * 2^shift,
// and one exact fma brings it down. Conversions from integers would run at a
// quarter of that rate.
template <int BITS>
inline void unpack(uint word, float zero, thread float* values) {
  constexpr int FIELDS = 16 / BITS;
  for (int h = 0; h < 2; h++) {
    const uint bits = word >> (16 * h);
    for (int j = 0; j < FIELDS; j++) {
      const uint field = ((1u << BITS) - 1u) << (BITS * j);
      const float unit = 1.0f / float(1u << (BITS * j));
      const float raised = as_type<float>(0x4b000000u | (bits & field));
      values[h * FIELDS + j] = fma(raised, unit, -8388608.0f * unit - zero);
    }
  }
}
