// A scalar of the host's memory where every block can read it.
earlier();
if (threadIdx.x < 4) y[threadIdx.x] = x[0];
