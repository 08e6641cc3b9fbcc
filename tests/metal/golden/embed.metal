template <int BITS>
inline void unpack(uint word,float zero,thread float* values){
constexpr int FIELDS=16 / BITS;
for(int h=0;h < 2;h++){
const uint bits=word >>(16 * h);
for(int j=0;j < FIELDS;j++){
const uint field=((1u << BITS)- 1u)<<(BITS * j);
const float unit=1.0f / float(1u <<(BITS * j));
const float raised=as_type<float>(0x4b000000u |(bits & field));
values[h * FIELDS + j]=fma(raised,unit,-8388608.0f * unit - zero);
}
}
}
template <typename T, typename S, int BITS, int GROUP, int K>
[[kernel]] void custom_kernel_flash_embed__float16_t_float16_t_4_64_192_int32_tc_uint32_t_float16_t_float16_t_float16_t(
  const constant int32_t* tokens [[buffer(0)]],
  const device uint32_t* weight [[buffer(1)]],
  const device float16_t* scales [[buffer(2)]],
  const device float16_t* biases [[buffer(3)]],
  device float16_t* y [[buffer(4)]],
  uint thread_index_in_simdgroup [[thread_index_in_simdgroup]],
  uint3 threadgroup_position_in_grid [[threadgroup_position_in_grid]]) {
const uint c=threadgroup_position_in_grid.x * 32 + thread_index_in_simdgroup;
const uint m=threadgroup_position_in_grid.y;
if(c < K / 8){
const uint row=uint(tokens[m]);
const float scale=float(scales[row *(K / GROUP)+ c * 8 / GROUP]);
const float bias=float(biases[row *(K / GROUP)+ c * 8 / GROUP]);
for(int w=0;w < BITS / 4;w++){
float q[32 / BITS];
unpack<BITS>(weight[row *(K * BITS / 32)+ c *(BITS / 4)+ w],0.0f,q);
for(int i=0;i < 32 / BITS;i++){
y[m * K + c * 8 + w *(32 / BITS)+ i]=T(fma(scale,q[i],bias));
}
}
}

}

template [[host_name("custom_kernel_flash_embed__float16_t_float16_t_4_64_192_int32_tc_uint32_t_float16_t_float16_t_float16_t")]] [[kernel]] decltype(custom_kernel_flash_embed__float16_t_float16_t_4_64_192_int32_tc_uint32_t_float16_t_float16_t_float16_t<float16_t, float16_t, 4, 64, 192>) custom_kernel_flash_embed__float16_t_float16_t_4_64_192_int32_tc_uint32_t_float16_t_float16_t_float16_t<float16_t, float16_t, 4, 64, 192>;
