// 16-bit floats without the toolkit's headers, which would be most of the compile time.
struct half {
  ushort bits;
  __device__ half() {}
  __device__ explicit half(float x) : bits(half_bits(x)) {}
  __device__ explicit operator float() const { return half_value(bits); }
};
struct bfloat {
  ushort bits;
  __device__ bfloat() {}
  __device__ explicit bfloat(float x) : bits(bfloat_bits(x)) {}
  __device__ explicit operator float() const { return __uint_as_float(uint(bits) << 16); }
};
