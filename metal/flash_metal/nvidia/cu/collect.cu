// The rows of the layers in `before` and of COUNT more, one after another.
const uint id = blockIdx.x * 256 + threadIdx.x, layer = blockIdx.y;
const uint* const added[16] = {r0, r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12, r13, r14, r15};
earlier();
if (id < SIZE) y[ulong(layer) * SIZE + id] = layer < BEFORE ? before[ulong(layer) * SIZE + id] : added[layer - BEFORE][id];
