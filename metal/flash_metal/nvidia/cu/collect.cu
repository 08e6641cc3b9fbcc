// The rows of the layers in `before` and of COUNT more, one after another. An array of the pointers would be made in each
// thread's memory.
const uint id = blockIdx.x * 256 + threadIdx.x, layer = blockIdx.y;
const int i = int(layer) - BEFORE;
const uint* const low = i < 4 ? (i < 2 ? (i < 1 ? r0 : r1) : (i < 3 ? r2 : r3)) : (i < 6 ? (i < 5 ? r4 : r5) : (i < 7 ? r6 : r7));
const uint* const high = i < 12 ? (i < 10 ? (i < 9 ? r8 : r9) : (i < 11 ? r10 : r11))
                                : (i < 14 ? (i < 13 ? r12 : r13) : (i < 15 ? r14 : r15));
const uint* const added = i < 8 ? low : high;
earlier();
if (id < SIZE) y[ulong(layer) * SIZE + id] = i < 0 ? before[ulong(layer) * SIZE + id] : added[id];
