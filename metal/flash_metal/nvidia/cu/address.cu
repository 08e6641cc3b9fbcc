// Where an array lies.
earlier();
if (threadIdx.x == 0) {
  y[0] = uint(ulong(x));
  y[1] = uint(ulong(x) >> 32);
}
