// The tokens and the position that the host gives, where the pass reads them.
if (threadIdx.x < 8) ids[threadIdx.x] = given[threadIdx.x];
if (threadIdx.x < 4) position[threadIdx.x] = given[8];
