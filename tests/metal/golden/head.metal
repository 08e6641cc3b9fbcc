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
template <typename T, typename Y, typename S, int BITS, int GROUP, int M, int N, int K, int R, int SG, int SPLIT, bool NORM, bool RESIDUAL>
[[kernel]] void custom_kernel_flash_linear__float16_t_float_float16_t_4_64_2_256_192_8_8_4_1_0_float16_t_uint32_t_float16_t_float16_t_float16_t_floatc_float16_t_float(
  const device float16_t* x [[buffer(0)]],
  const device uint32_t* weight [[buffer(1)]],
  const device float16_t* scales [[buffer(2)]],
  const device float16_t* biases [[buffer(3)]],
  const device float16_t* norm [[buffer(4)]],
  const constant float* eps [[buffer(5)]],
  const device float16_t* residual [[buffer(6)]],
  device float* y [[buffer(7)]],
  uint simdgroup_index_in_threadgroup [[simdgroup_index_in_threadgroup]],
  uint thread_index_in_simdgroup [[thread_index_in_simdgroup]],
  uint thread_index_in_threadgroup [[thread_index_in_threadgroup]],
  uint3 threadgroup_position_in_grid [[threadgroup_position_in_grid]]) {
constexpr uint ROWS=SG / SPLIT * R;
threadgroup float partial[SG * M * R];
threadgroup float square[SG * M];
const uint lane=thread_index_in_simdgroup;
const uint sg=simdgroup_index_in_threadgroup;
const uint row=threadgroup_position_in_grid.x * ROWS + sg / SPLIT * R;
float sums[M * R]={0.0f};
float squares[M]={0.0f};
for(uint c=sg % SPLIT * 32 + lane;c < K / 8;c +=32 * SPLIT){
float v[M * 8];
for(int m=0;m < M;m++){
load8(x + m * K + c * 8,v + m * 8);
if(NORM){
for(int i=0;i < 8;i++){
squares[m]=fma(v[m * 8 + i],v[m * 8 + i],squares[m]);
v[m * 8 + i] *=float(norm[c * 8 + i]);
}
}
}
multiply<M,R,BITS,GROUP,K>(weight,scales,biases,row,c,v,sums);
}
for(int m=0;m < M;m++){
const float all=simd_sum(squares[m]);
if(lane==0){
square[sg * M + m]=all;
}
for(int r=0;r < R;r++){
const float sum=simd_sum(sums[m * R + r]);
if(lane==0){
partial[sg *(M * R)+ m * R + r]=sum;
}
}
}
threadgroup_barrier(mem_flags::mem_threadgroup);
for(uint i=thread_index_in_threadgroup;i < M * ROWS;i +=32 * SG){
const uint m=i / ROWS;
const uint r=i % ROWS;
const uint n=threadgroup_position_in_grid.x * ROWS + r;
float sum=0.0f;
float all=0.0f;
for(uint s=0;s < SPLIT;s++){
const uint from=r / R * SPLIT + s;
sum +=partial[from *(M * R)+ m * R + r % R];
all +=square[from * M + m];
}
const float inverse=NORM ? rsqrt(fma(all,1.0f / float(K),float(eps[0]))): 1.0f;
y[m * N + n]=Y(fma(sum,inverse,RESIDUAL ? float(residual[m * N + n]): 0.0f));
}

}

template [[host_name("custom_kernel_flash_linear__float16_t_float_float16_t_4_64_2_256_192_8_8_4_1_0_float16_t_uint32_t_float16_t_float16_t_float16_t_floatc_float16_t_float")]] [[kernel]] decltype(custom_kernel_flash_linear__float16_t_float_float16_t_4_64_2_256_192_8_8_4_1_0_float16_t_uint32_t_float16_t_float16_t_float16_t_floatc_float16_t_float<float16_t, float, float16_t, 4, 64, 2, 256, 192, 8, 8, 4, 1, 0>) custom_kernel_flash_linear__float16_t_float_float16_t_4_64_2_256_192_8_8_4_1_0_float16_t_uint32_t_float16_t_float16_t_float16_t_floatc_float16_t_float<float16_t, float, float16_t, 4, 64, 2, 256, 192, 8, 8, 4, 1, 0>;
