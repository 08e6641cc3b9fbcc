// Everything that is PTX and not C++; metal/offmac/shim/cuda_host.h has the same functions for the CPU.
using uint = unsigned int;
using ulong = unsigned long;
using ushort = unsigned short;
using uchar = unsigned char;
using int8_t = signed char;
using int32_t = int;
using uint32_t = unsigned int;

__device__ inline ushort half_bits(float x) {
  ushort bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  return bits;
}
__device__ inline float half_value(ushort bits) {
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
  return x;
}
__device__ inline ushort bfloat_bits(float x) {
  ushort bits;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  return bits;
}
// word & mask | bits, in one instruction.
__device__ inline uint select(uint word, uint mask, uint bits) {
  uint r;
  asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(r) : "r"(word), "r"(mask), "r"(bits));
  return r;
}

template <int WORDS> struct Words { uint w[WORDS]; };
// Words that are read once, asked for in the order of the text, in which they come.
template <int WORDS>
__device__ inline Words<WORDS> stream(const uint* at) {
  Words<WORDS> r;
  if constexpr (WORDS == 4) {
    asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0,%1,%2,%3}, [%4];"
        : "=r"(r.w[0]), "=r"(r.w[1]), "=r"(r.w[2]), "=r"(r.w[3]) : "l"(at));
  } else if constexpr (WORDS == 2) {
    asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v2.u32 {%0,%1}, [%2];" : "=r"(r.w[0]), "=r"(r.w[1]) : "l"(at));
  } else {
    asm volatile("ld.global.nc.L1::no_allocate.L2::128B.u32 %0, [%1];" : "=r"(r.w[0]) : "l"(at));
  }
  return r;
}

// A value of 4, 8 or 16 bytes, asked for likewise.
template <typename V>
__device__ inline V ask(const void* at) {
  union {
    V value;
    uint w[sizeof(V) / 4];
  } r = {V{}};
  if constexpr (sizeof(V) == 4) {
    asm volatile("ld.global.u32 %0, [%1];" : "=r"(r.w[0]) : "l"(at));
  } else if constexpr (sizeof(V) == 8) {
    asm volatile("ld.global.v2.u32 {%0,%1}, [%2];" : "=r"(r.w[0]), "=r"(r.w[1]) : "l"(at));
  } else {
    asm volatile("ld.global.v4.u32 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r.w[0]), "=r"(r.w[1]), "=r"(r.w[2]), "=r"(r.w[3]) : "l"(at));
  }
  return r.value;
}

__device__ inline void copy16(uint* to, const uint* from) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"((uint)__cvta_generic_to_shared(to)), "l"(from));
}
// Four bytes, of which the first `bytes` are read, the rest zeros.
__device__ inline void copy4(uint* to, const uint* from, int bytes) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"((uint)__cvta_generic_to_shared(to)), "l"(from),
               "r"(bytes));
}
__device__ inline void copies_end() { asm volatile("cp.async.commit_group;"); }
template <int LEFT>
__device__ inline void copies_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(LEFT));
}

// A launch may start before the one ahead of it has ended: what that one wrote is there after `earlier`; what those
// before it wrote, at once.
__device__ inline void earlier() { asm volatile("griddepcontrol.wait;" ::: "memory"); }

// From here on the next launch may start. Not in a launch that writes what a later one reads before its `earlier`.
__device__ inline void later() { asm volatile("griddepcontrol.launch_dependents;"); }

// Blocks of a cluster of COUNT: before one sends, all must have begun; what was sent is there when they have met.
template <int COUNT>
__device__ inline void cluster_arrive() {
  if constexpr (COUNT > 1) asm volatile("barrier.cluster.arrive.relaxed.aligned;");
}
template <int COUNT>
__device__ inline void cluster_wait() {
  if constexpr (COUNT > 1) asm volatile("barrier.cluster.wait.aligned;");
}
template <int COUNT>
__device__ inline void cluster_meet() {
  if constexpr (COUNT > 1) {
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
  } else {
    __syncthreads();
  }
}
// Into the last block's shared memory, where `to` is in this one's.
template <int COUNT>
__device__ inline void send(float* to, float x) {
  if constexpr (COUNT > 1) {
    asm volatile("{.reg .u32 at; mapa.shared::cluster.u32 at, %0, %1; st.shared::cluster.f32 [at], %2;}" ::"r"(
                     (uint)__cvta_generic_to_shared(to)),
                 "r"(COUNT - 1), "f"(x)
                 : "memory");
  } else {
    *to = x;
  }
}

// An 8 x 8 matrix of 16-bit values, of which lane 4 g + t has (g, 2 t) and (g, 2 t + 1), transposed.
__device__ inline uint transposed(uint two) {
  uint r;
  asm("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(r) : "r"(two));
  return r;
}

// d += a b: a 16 x 16 (row g and g + 8 of lane 4 g + t), b 16 x 8 (column g), d 16 x 8
// (rows g, g + 8, columns 2 t, 2 t + 1).
#define MMA(NAME, TYPE)                                                                              \
  __device__ inline void NAME(float* d, uint a0, uint a1, uint a2, uint a3, uint b0, uint b1) {      \
    asm("mma.sync.aligned.m16n8k16.row.col.f32." TYPE "." TYPE ".f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};" \
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                  \
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));                          \
  }
MMA(mma_half, "f16")
MMA(mma_bfloat, "bf16")
