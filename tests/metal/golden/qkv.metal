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
template <typename T, typename S, int BITS, int GROUP, int H, int HK, int D, int M, int K, int R, int SG, bool BIAS, bool HEAD_NORM>
[[kernel]] void custom_kernel_flash_qkv__float16_t_float16_t_4_64_6_2_64_2_192_8_8_0_0_float16_t_float16_t_uint32_t_float16_t_float16_t_float16_t_float16_t_float_int32_tc_floatc_float_uint32_t(
  const device float16_t* x [[buffer(0)]],
  const device float16_t* norm [[buffer(1)]],
  const device uint32_t* weight [[buffer(2)]],
  const device float16_t* scales [[buffer(3)]],
  const device float16_t* biases [[buffer(4)]],
  const device float16_t* bias [[buffer(5)]],
  const device float16_t* head_norm [[buffer(6)]],
  const device float* frequency [[buffer(7)]],
  const constant int32_t* position [[buffer(8)]],
  const constant float* eps [[buffer(9)]],
  device float* q [[buffer(10)]],
  device uint32_t* rows [[buffer(11)]],
  uint simdgroup_index_in_threadgroup [[simdgroup_index_in_threadgroup]],
  uint thread_index_in_simdgroup [[thread_index_in_simdgroup]],
  uint3 threadgroup_position_in_grid [[threadgroup_position_in_grid]]) {
const uint lane=thread_index_in_simdgroup;
const uint sg=simdgroup_index_in_threadgroup;
const uint head=threadgroup_position_in_grid.x;
threadgroup float heads[M * D];
for(uint first=sg * R;first < D;first +=SG * R){
const uint row=head * D + first;
float sums[M * R]={0.0f};
float squares[M]={0.0f};
for(uint c=lane;c < K / 8;c +=32){
float v[M * 8];
for(int m=0;m < M;m++){
load8(x + m * K + c * 8,v + m * 8);
for(int i=0;i < 8;i++){
squares[m]=fma(v[m * 8 + i],v[m * 8 + i],squares[m]);
v[m * 8 + i] *=float(norm[c * 8 + i]);
}
}
multiply<M,R,BITS,GROUP,K>(weight,scales,biases,row,c,v,sums);
}
for(int m=0;m < M;m++){
const float inverse=rsqrt(fma(simd_sum(squares[m]),1.0f / float(K),eps[0]));
for(int r=0;r < R;r++){
const float sum=simd_sum(sums[m * R + r]);
if(lane==0){
heads[m * D + first + r]=fma(sum,inverse,BIAS ? float(bias[row + r]): 0.0f);
}
}
}
}
threadgroup_barrier(mem_flags::mem_threadgroup);
constexpr uint HALF=D / 2;
constexpr int PAIRS=(HALF + 31)/ 32;
const bool rotated=head < H + HK;
for(uint m=sg;m < M;m +=SG){
float a[PAIRS];
float b[PAIRS];
float square=0.0f;
for(int j=0;j < PAIRS;j++){
const uint i=lane + 32 * j;
a[j]=i < HALF ? heads[m * D + i] : 0.0f;
b[j]=i < HALF ? heads[m * D + i + HALF] : 0.0f;
square=fma(a[j],a[j],fma(b[j],b[j],square));
}
if(HEAD_NORM && rotated){
const float inverse=rsqrt(fma(simd_sum(square),1.0f / float(D),eps[0]));
for(int j=0;j < PAIRS;j++){
const uint i=min(lane + 32 * j,HALF - 1)+(head < H ? 0 : D);
a[j] *=inverse * float(head_norm[i]);
b[j] *=inverse * float(head_norm[i + HALF]);
}
}
if(rotated){
for(int j=0;j < PAIRS;j++){
const float angle=float(position[0] + int(m))* frequency[min(lane + 32 * j,HALF - 1)];
const float c=cos(angle);
const float s=sin(angle);
const float left=fma(a[j],c,-b[j] * s);
b[j]=fma(b[j],c,a[j] * s);
a[j]=left;
}
}
if(head < H){
for(int j=0;j < PAIRS;j++){
const uint i=lane + 32 * j;
if(i < HALF){
q[(m * H + head)* D + i]=a[j];
q[(m * H + head)* D + i + HALF]=b[j];
}
}
}else{
float top=0.0f;
for(int j=0;j < PAIRS;j++){
top=max(top,max(abs(a[j]),abs(b[j])));
}
top=simd_max(top);
const float steps=top > 0.0f ? 127.0f / top : 0.0f;
device uint32_t* row=rows +((head - H)* M + m)*(D / 4 + 1);
device int8_t* bytes=(device int8_t*)row;
for(int j=0;j < PAIRS;j++){
const uint i=lane + 32 * j;
if(i < HALF){
bytes[i]=int8_t(rint(a[j] * steps));
bytes[i + HALF]=int8_t(rint(b[j] * steps));
}
}
if(lane==0){
row[D / 4]=as_type<uint>(top / 127.0f);
}
}
}

}

template [[host_name("custom_kernel_flash_qkv__float16_t_float16_t_4_64_6_2_64_2_192_8_8_0_0_float16_t_float16_t_uint32_t_float16_t_float16_t_float16_t_float16_t_float_int32_tc_floatc_float_uint32_t")]] [[kernel]] decltype(custom_kernel_flash_qkv__float16_t_float16_t_4_64_6_2_64_2_192_8_8_0_0_float16_t_float16_t_uint32_t_float16_t_float16_t_float16_t_float16_t_float_int32_tc_floatc_float_uint32_t<float16_t, float16_t, 4, 64, 6, 2, 64, 2, 192, 8, 8, 0, 0>) custom_kernel_flash_qkv__float16_t_float16_t_4_64_6_2_64_2_192_8_8_0_0_float16_t_float16_t_uint32_t_float16_t_float16_t_float16_t_float16_t_float_int32_tc_floatc_float_uint32_t<float16_t, float16_t, 4, 64, 6, 2, 64, 2, 192, 8, 8, 0, 0>;
