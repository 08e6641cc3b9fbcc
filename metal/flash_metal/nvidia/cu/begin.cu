// The tokens, the position and the vocabulary that the host gives, where the pass reads them.
earlier();
for (int i = threadIdx.x; i < MOST; i += 32) ids[i] = given[i];
if (threadIdx.x < 4) position[threadIdx.x] = given[MOST + threadIdx.x / 3];
