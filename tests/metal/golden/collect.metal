template <typename T, int SIZE, int BEFORE, int COUNT>
[[kernel]] void custom_kernel_flash_collect__uint32_t_136_0_16_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t(
  const device uint32_t* before [[buffer(0)]],
  const device uint32_t* r0 [[buffer(1)]],
  const device uint32_t* r1 [[buffer(2)]],
  const device uint32_t* r2 [[buffer(3)]],
  const device uint32_t* r3 [[buffer(4)]],
  const device uint32_t* r4 [[buffer(5)]],
  const device uint32_t* r5 [[buffer(6)]],
  const device uint32_t* r6 [[buffer(7)]],
  const device uint32_t* r7 [[buffer(8)]],
  const device uint32_t* r8 [[buffer(9)]],
  const device uint32_t* r9 [[buffer(10)]],
  const device uint32_t* r10 [[buffer(11)]],
  const device uint32_t* r11 [[buffer(12)]],
  const device uint32_t* r12 [[buffer(13)]],
  const device uint32_t* r13 [[buffer(14)]],
  const device uint32_t* r14 [[buffer(15)]],
  const device uint32_t* r15 [[buffer(16)]],
  device uint32_t* y [[buffer(17)]],
  uint thread_index_in_simdgroup [[thread_index_in_simdgroup]],
  uint3 threadgroup_position_in_grid [[threadgroup_position_in_grid]]) {
const uint e=threadgroup_position_in_grid.x * 32 + thread_index_in_simdgroup;
const uint n=threadgroup_position_in_grid.y;
if(e < SIZE){
const int k=int(n)- BEFORE;
y[n * SIZE + e]=k < 0 ? before[n * SIZE + e]
: k==0 ? r0[e] : k==1 ? r1[e] : k==2 ? r2[e] : k==3 ? r3[e]
: k==4 ? r4[e] : k==5 ? r5[e] : k==6 ? r6[e] : k==7 ? r7[e]
: k==8 ? r8[e] : k==9 ? r9[e] : k==10 ? r10[e] : k==11 ? r11[e]
: k==12 ? r12[e] : k==13 ? r13[e] : k==14 ? r14[e] : r15[e];
}

}

template [[host_name("custom_kernel_flash_collect__uint32_t_136_0_16_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t")]] [[kernel]] decltype(custom_kernel_flash_collect__uint32_t_136_0_16_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t<uint32_t, 136, 0, 16>) custom_kernel_flash_collect__uint32_t_136_0_16_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t<uint32_t, 136, 0, 16>;

template <typename T, int SIZE, int BEFORE, int COUNT>
[[kernel]] void custom_kernel_flash_collect__uint32_t_136_16_2_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t(
  const device uint32_t* before [[buffer(0)]],
  const device uint32_t* r0 [[buffer(1)]],
  const device uint32_t* r1 [[buffer(2)]],
  const device uint32_t* r2 [[buffer(3)]],
  const device uint32_t* r3 [[buffer(4)]],
  const device uint32_t* r4 [[buffer(5)]],
  const device uint32_t* r5 [[buffer(6)]],
  const device uint32_t* r6 [[buffer(7)]],
  const device uint32_t* r7 [[buffer(8)]],
  const device uint32_t* r8 [[buffer(9)]],
  const device uint32_t* r9 [[buffer(10)]],
  const device uint32_t* r10 [[buffer(11)]],
  const device uint32_t* r11 [[buffer(12)]],
  const device uint32_t* r12 [[buffer(13)]],
  const device uint32_t* r13 [[buffer(14)]],
  const device uint32_t* r14 [[buffer(15)]],
  const device uint32_t* r15 [[buffer(16)]],
  device uint32_t* y [[buffer(17)]],
  uint thread_index_in_simdgroup [[thread_index_in_simdgroup]],
  uint3 threadgroup_position_in_grid [[threadgroup_position_in_grid]]) {
const uint e=threadgroup_position_in_grid.x * 32 + thread_index_in_simdgroup;
const uint n=threadgroup_position_in_grid.y;
if(e < SIZE){
const int k=int(n)- BEFORE;
y[n * SIZE + e]=k < 0 ? before[n * SIZE + e]
: k==0 ? r0[e] : k==1 ? r1[e] : k==2 ? r2[e] : k==3 ? r3[e]
: k==4 ? r4[e] : k==5 ? r5[e] : k==6 ? r6[e] : k==7 ? r7[e]
: k==8 ? r8[e] : k==9 ? r9[e] : k==10 ? r10[e] : k==11 ? r11[e]
: k==12 ? r12[e] : k==13 ? r13[e] : k==14 ? r14[e] : r15[e];
}

}

template [[host_name("custom_kernel_flash_collect__uint32_t_136_16_2_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t")]] [[kernel]] decltype(custom_kernel_flash_collect__uint32_t_136_16_2_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t<uint32_t, 136, 16, 2>) custom_kernel_flash_collect__uint32_t_136_16_2_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t_uint32_t<uint32_t, 136, 16, 2>;
