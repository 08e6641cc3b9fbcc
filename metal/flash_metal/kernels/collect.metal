// The new cache rows of up to 16 layers, behind those of the layers before: one
// array for one update of the cache.
//
// before [BEFORE, SIZE]; r0 .. r15 [SIZE], read if below COUNT. y [BEFORE + COUNT, SIZE].
const uint e = threadgroup_position_in_grid.x * 32 + thread_index_in_simdgroup;
const uint n = threadgroup_position_in_grid.y;
if (e < SIZE) {
  const int k = int(n) - BEFORE;
  y[n * SIZE + e] = k < 0 ? before[n * SIZE + e]
      : k == 0 ? r0[e] : k == 1 ? r1[e] : k == 2 ? r2[e] : k == 3 ? r3[e]
      : k == 4 ? r4[e] : k == 5 ? r5[e] : k == 6 ? r6[e] : k == 7 ? r7[e]
      : k == 8 ? r8[e] : k == 9 ? r9[e] : k == 10 ? r10[e] : k == 11 ? r11[e]
      : k == 12 ? r12[e] : k == 13 ? r13[e] : k == 14 ? r14[e] : r15[e];
}
