// What the host shim asks of the run-time (msl_rt.cpp): rendezvous of
// lanes, threadgroup memory, error reports. Plain C types, no std header.
#pragma once
extern "C" {
struct MslThread {  // the position attributes of one thread
  unsigned thread_position_in_grid[3], thread_position_in_threadgroup[3];
  unsigned threadgroup_position_in_grid[3], threadgroups_per_grid[3];
  unsigned threads_per_threadgroup[3], dispatch_threads_per_threadgroup[3], threads_per_grid[3];
  unsigned thread_index_in_threadgroup, thread_index_in_simdgroup, simdgroup_index_in_threadgroup;
  unsigned simdgroups_per_threadgroup, dispatch_simdgroups_per_threadgroup;
};
typedef void (*MslEntry)(void** buffers, const MslThread* t);

enum MslOp {
  MSL_OP_REDUCE = 1,
  MSL_OP_SHUFFLE,
  MSL_OP_VOTE,
  MSL_OP_SCAN,
  MSL_OP_MATRIX,
  MSL_OP_SIMD_BARRIER,
  MSL_OP_TG_BARRIER
};

// Lane gives `data` (size bytes <= 64) and gets the data of all 32 lanes in
// `out` (32*size bytes); returns the mask of lanes that took part.
unsigned msl_rt_exchange(int op, int line, const void* data, unsigned size, void* out);
void msl_rt_barrier(int op, int mem_flags, int line);
void* msl_rt_tg_alloc(unsigned id, unsigned long size, unsigned long align);
void msl_rt_fail(int line, const char* what);
unsigned msl_rt_lane();
const MslThread* msl_rt_thread();
}
