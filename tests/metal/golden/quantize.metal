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
template <typename T>
inline void load8(const device T* x,thread float* values){
for(int h=0;h < 2;h++){
const vec<T,4> four=*(const device vec<T,4>*)(x + 4 * h);
for(int i=0;i < 4;i++){
values[4 * h + i]=float(four[i]);
}
}
}
template <int M,int R,int BITS,int GROUP,int K,typename S>
inline void multiply(const device uint* weight,const device S* scales,const device S* biases,
uint row,uint c,const thread float* x,thread float* sums){
for(uint r=0;r < R;r++){
const device uint* words=weight +(row + r)*(K * BITS / 32)+ c *(BITS / 4);
const uint group=(row + r)*(K / GROUP)+ c * 8 / GROUP;
const float scale=float(scales[group]);
const float bias=float(biases[group]);
float q[8];
for(int i=0;i < BITS / 4;i++){
unpack<BITS>(words[i],0.0f,q + i *(32 / BITS));
}
for(int i=0;i < 8;i++){
const float value=fma(scale,q[i],bias);
for(int m=0;m < M;m++){
sums[m * R + r]=fma(x[m * 8 + i],value,sums[m * R + r]);
}
}
}
}
template <typename T, typename S, int BITS, int GROUP, int N, int K>
[[kernel]] void custom_kernel_flash_quantize__float16_t_float16_t_4_64_256_192_float16_t_uint32_t_float16_t_float16_t(
  const device float16_t* x [[buffer(0)]],
  device uint32_t* weight [[buffer(1)]],
  device float16_t* scales [[buffer(2)]],
  device float16_t* biases [[buffer(3)]],
  uint thread_index_in_simdgroup [[thread_index_in_simdgroup]],
  uint3 threadgroup_position_in_grid [[threadgroup_position_in_grid]]) {
constexpr uint LANES=GROUP / 8;
constexpr uint STEPS=(1u << BITS)- 1u;
const uint lane=thread_index_in_simdgroup;
const uint chunk=threadgroup_position_in_grid.x * 32 + lane;
float v[8];
load8(x + min(chunk,uint(N *(K / 8)- 1))* 8,v);
float low=v[0];
float high=v[0];
for(int i=1;i < 8;i++){
low=min(low,v[i]);
high=max(high,v[i]);
}
for(uint other=1;other < LANES;other *=2){
low=min(low,simd_shuffle_xor(low,ushort(other)));
high=max(high,simd_shuffle_xor(high,ushort(other)));
}
const bool from_low=abs(low)> abs(high);
const float edge=from_low ? low : high;
const float step=max((high - low)/ float(STEPS),1e-7f)*(from_low ? 1.0f : -1.0f);
const float zero=rint(edge / step);
const float scale=float(S(zero !=0.0f ? edge / zero : step));
const float bias=float(S(zero !=0.0f ? edge : 0.0f));
if(chunk < uint(N *(K / 8))){
for(int w=0;w < BITS / 4;w++){
uint word=0;
for(int i=0;i < 32 / BITS;i++){
const float level=rint((v[w *(32 / BITS)+ i] - bias)/ scale);
word |=uint(clamp(level,0.0f,float(STEPS)))<<(BITS * i);
}
weight[chunk *(BITS / 4)+ w]=word;
}
if(chunk % LANES==0){
scales[chunk / LANES]=S(scale);
biases[chunk / LANES]=S(bias);
}
}

}

template [[host_name("custom_kernel_flash_quantize__float16_t_float16_t_4_64_256_192_float16_t_uint32_t_float16_t_float16_t")]] [[kernel]] decltype(custom_kernel_flash_quantize__float16_t_float16_t_4_64_256_192_float16_t_uint32_t_float16_t_float16_t<float16_t, float16_t, 4, 64, 256, 192>) custom_kernel_flash_quantize__float16_t_float16_t_4_64_256_192_float16_t_uint32_t_float16_t_float16_t<float16_t, float16_t, 4, 64, 256, 192>;
