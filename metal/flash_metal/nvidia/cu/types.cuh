// 16-bit floats without the toolkit's headers, which would be most of the compile time.
using uint = unsigned int;
using ulong = unsigned long;
using ushort = unsigned short;
using uchar = unsigned char;
using int8_t = signed char;
using int32_t = int;
using uint32_t = unsigned int;

struct half {
  ushort bits;
  __device__ half() {}
  __device__ explicit half(float x) { asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x)); }
  __device__ explicit operator float() const {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
  }
};
struct bfloat {
  ushort bits;
  __device__ bfloat() {}
  __device__ explicit bfloat(float x) { asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x)); }
  __device__ explicit operator float() const { return __uint_as_float(uint(bits) << 16); }
};
