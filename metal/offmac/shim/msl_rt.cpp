// Runs a kernel on the CPU. One fiber per thread of the threadgroup;
// threadgroups one after another. SIMD-group operations and barriers are
// rendezvous; what Metal leaves undefined at a rendezvous is reported:
//   * lanes of one SIMD-group at different operations (divergence)
//   * a barrier that some threads never reach, or that others left by return
//   * a shuffle that reads a lane which takes no part
//   * threadgroup memory over 32 KiB; more than 1024 threads
// Order of lanes is a parameter (forward, reverse, random): a missing barrier
// that one order hides, another shows. With -fsanitize=thread every lane is a
// TSan fiber and only barriers order memory, so TSan reports the race itself.
#include "msl_rt.h"
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>
#include <sys/mman.h>
// built without instrumentation; -DMSL_TSAN / -DMSL_ASAN when the kernel has it
#ifdef MSL_TSAN
#include <sanitizer/tsan_interface.h>
#endif
#ifdef MSL_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#define NOSAN __attribute__((noinline))

// context switch
#if defined(__x86_64__)
extern "C" void msl_switch(void** save_sp, void* load_sp);
asm(R"(
.text
.globl msl_switch
.type msl_switch,@function
msl_switch:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  ret
.size msl_switch,.-msl_switch
)");
#else
#error "msl_rt: add a context switch for this CPU"
#endif

namespace {
enum State { READY, WAIT_SIMD, WAIT_TG, DONE };
constexpr size_t kStack = 128 * 1024;

struct Lane {
  void* sp = nullptr;
  char* stack = nullptr;
  State state = DONE;
  int op = 0, line = 0;
  MslThread t;
  void* tsan = nullptr;
  void* asan_fake = nullptr;
};
struct Group {  // one SIMD-group
  alignas(16) unsigned char slot[2][32][64];
  unsigned arrived = 0, live = 0, phase = 0, mask[2] = {0, 0};
};
struct Block {
  void* p;
  size_t size;
};

struct Run {
  MslEntry entry;
  void** bufs;
  std::vector<Lane> lanes;
  std::vector<Group> groups;
  void* sched_sp = nullptr;
  void* sched_tsan = nullptr;
  void* sched_fake = nullptr;
  const void* sched_bottom = nullptr;
  size_t sched_size = 0;
  Lane* cur = nullptr;
  unsigned n = 0, done = 0, tg_arrived = 0, tg_phase = 0;
  int tg_op = 0, tg_line = 0;
  std::vector<Block> tg_mem;  // by declaration id
  size_t tg_bytes = 0;
  int order = 0;
  unsigned long seed = 1;
  std::string error;
  char hb[3];
};
thread_local Run* R = nullptr;

void fail(const std::string& s) {
  if (R->error.empty()) R->error = s;
}
std::string where(const Lane& l) {
  char b[160];
  snprintf(b, sizeof b, "thread %u (simdgroup %u, lane %u)", l.t.thread_index_in_threadgroup,
           l.t.simdgroup_index_in_threadgroup, l.t.thread_index_in_simdgroup);
  return b;
}
const char* op_name(int op) {
  static const char* n[] = {"?",
                            "simd reduction",
                            "simd shuffle",
                            "simd vote",
                            "simd prefix sum",
                            "simdgroup_matrix op",
                            "simdgroup_barrier",
                            "threadgroup_barrier"};
  return n[op];
}

void release_simd(unsigned g) {
  for (unsigned i = g * 32; i < g * 32 + 32 && i < R->n; i++)
    if (R->lanes[i].state == WAIT_SIMD) R->lanes[i].state = READY;
}
NOSAN void to_scheduler(bool last = false) {
  Lane* me = R->cur;
#ifdef MSL_TSAN
  __tsan_switch_to_fiber(R->sched_tsan, __tsan_switch_to_fiber_no_sync);
#endif
#ifdef MSL_ASAN
  __sanitizer_start_switch_fiber(last ? nullptr : &me->asan_fake, R->sched_bottom, R->sched_size);
#endif
  msl_switch(&me->sp, R->sched_sp);
#ifdef MSL_ASAN
  __sanitizer_finish_switch_fiber(me->asan_fake, &R->sched_bottom, &R->sched_size);
#endif
}
NOSAN void to_lane(Lane* l) {
  R->cur = l;
#ifdef MSL_TSAN
  __tsan_switch_to_fiber(l->tsan, __tsan_switch_to_fiber_no_sync);
#endif
#ifdef MSL_ASAN
  __sanitizer_start_switch_fiber(&R->sched_fake, l->stack, kStack);
#endif
  msl_switch(&R->sched_sp, l->sp);
#ifdef MSL_ASAN
  __sanitizer_finish_switch_fiber(R->sched_fake, nullptr, nullptr);
#endif
}
NOSAN void fiber_main() {
#ifdef MSL_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &R->sched_bottom, &R->sched_size);
#endif
  Lane* l = R->cur;
  R->entry(R->bufs, &l->t);
#ifdef MSL_TSAN
  __tsan_release(&R->hb[2]);
#endif
  Group& g = R->groups[l->t.simdgroup_index_in_threadgroup];
  l->state = DONE;
  R->done++;
  g.live--;
  if (g.arrived) fail(where(*l) + " returned while its SIMD-group is at a SIMD-group operation");
  if (R->tg_arrived)
    fail(where(*l) + " returned while other threads wait at the threadgroup_barrier of line " +
         std::to_string(R->tg_line));
  to_scheduler(true);
  __builtin_trap();
}
void start_lane(Lane* l) {
  void** sp = (void**)(l->stack + kStack);
  *--sp = nullptr;  // alignment / fake return address
  *--sp = (void*)fiber_main;
  for (int i = 0; i < 6; i++) *--sp = nullptr;
  l->sp = sp;
  l->state = READY;
}
unsigned long rnd() {
  R->seed ^= R->seed << 13;
  R->seed ^= R->seed >> 7;
  R->seed ^= R->seed << 17;
  return R->seed;
}
NOSAN void copy(void* d, const void* s, size_t n) {
  for (size_t i = 0; i < n; i++) ((volatile char*)d)[i] = ((const volatile char*)s)[i];
}
NOSAN void check_divergence(Lane* l, int op, int line) {
  unsigned g = l->t.simdgroup_index_in_threadgroup;
  for (unsigned i = g * 32; i < g * 32 + 32 && i < R->n; i++) {
    Lane& o = R->lanes[i];
    if ((o.state == WAIT_SIMD && (o.op != op || o.line != line)) ||
        (o.state == WAIT_TG && op != MSL_OP_TG_BARRIER)) {
      fail("divergence: " + where(*l) + " is at " + op_name(op) + " (line " + std::to_string(line) + "), " +
           where(o) + " at " + op_name(o.op) + " (line " + std::to_string(o.line) + ")");
      return;
    }
    if (o.state == DONE) {
      fail(where(*l) + " is at " + op_name(op) + " (line " + std::to_string(line) + ") but " + where(o) +
           " has returned");
      return;
    }
  }
}
[[noreturn]] NOSAN void park() {
  R->cur->state = DONE;
  to_scheduler(true);
  __builtin_trap();
}
}  // namespace

extern "C" {
NOSAN unsigned msl_rt_lane() { return R->cur->t.thread_index_in_simdgroup; }
NOSAN const MslThread* msl_rt_thread() { return &R->cur->t; }
NOSAN void msl_rt_fail(int line, const char* what) {
  fail(where(*R->cur) + ": " + what + " (line " + std::to_string(line) + ")");
  park();
}

NOSAN void msl_rt_misaligned(const void*, unsigned long a) {
  msl_rt_fail(R->cur->line, ("misaligned address: a vector access needs " + std::to_string(a) +
                             " bytes; seen after the rendezvous")
                                .c_str());
}
NOSAN unsigned msl_rt_exchange(int op, int line, const void* data, unsigned size, void* out) {
  Lane* l = R->cur;
  Group& g = R->groups[l->t.simdgroup_index_in_threadgroup];
  check_divergence(l, op, line);
  if (!R->error.empty()) park();
  unsigned ph = g.phase & 1, lane = l->t.thread_index_in_simdgroup;
  if (g.arrived == 0) g.mask[ph] = 0;
  copy(g.slot[ph][lane], data, size);
  g.mask[ph] |= 1u << lane;
  l->op = op;
  l->line = line;
  if (++g.arrived == g.live) {
    g.arrived = 0;
    g.phase++;
    release_simd(l->t.simdgroup_index_in_threadgroup);
  } else {
    l->state = WAIT_SIMD;
    to_scheduler();
  }
  for (unsigned i = 0; i < 32; i++) copy((char*)out + i * size, g.slot[ph][i], size);
  return g.mask[ph];
}
NOSAN void msl_rt_barrier(int op, int flags, int line) {
  Lane* l = R->cur;
  if (op == MSL_OP_SIMD_BARRIER) {
    char c = 0, o[32];
    (void)flags;
#ifdef MSL_TSAN
    Group& g = R->groups[l->t.simdgroup_index_in_threadgroup];
    void* hb = &g.slot[g.phase & 1][0][63];
    if (flags) __tsan_release(hb);
#endif
    msl_rt_exchange(op, line, &c, 1, o);
#ifdef MSL_TSAN
    if (flags) __tsan_acquire(hb);
#endif
    return;
  }
  check_divergence(l, op, line);
  if (R->tg_arrived && (R->tg_line != line))
    fail("divergence: " + where(*l) + " is at the threadgroup_barrier of line " + std::to_string(line) +
         ", others at that of line " + std::to_string(R->tg_line));
  if (!R->error.empty()) park();
  R->tg_op = op;
  R->tg_line = line;
  l->op = op;
  l->line = line;
  unsigned ph = R->tg_phase & 1;
#ifdef MSL_TSAN
  if (flags) __tsan_release(&R->hb[ph]);
#endif
  if (++R->tg_arrived == R->n - R->done) {
    R->tg_arrived = 0;
    R->tg_phase++;
    for (auto& x : R->lanes)
      if (x.state == WAIT_TG) x.state = READY;
  } else {
    l->state = WAIT_TG;
    to_scheduler();
  }
#ifdef MSL_TSAN
  if (flags) __tsan_acquire(&R->hb[ph]);
#endif
}
NOSAN void* msl_rt_tg_alloc(unsigned id, unsigned long size, unsigned long align) {
  if (id >= R->tg_mem.size()) R->tg_mem.resize(id + 1, Block{nullptr, 0});
  Block& b = R->tg_mem[id];
  if (!b.p) {
    // exact size, so that ASan's red zone starts where the array ends
    if (posix_memalign(&b.p, align < sizeof(void*) ? sizeof(void*) : align, size)) abort();
    for (size_t i = 0; i < size; i++)
      ((volatile unsigned char*)b.p)[i] = 0xff;  // NaN / -1: reads before writes show
    b.size = size;
    R->tg_bytes += (size + 15) / 16 * 16;
    if (R->tg_bytes > 32768)
      fail("threadgroup memory: " + std::to_string(R->tg_bytes) + " bytes, Metal has 32768");
#ifdef MSL_TSAN
    __tsan_release(b.p);  // the allocation itself is no race
#endif
  }
#ifdef MSL_TSAN
  __tsan_acquire(b.p);
#endif
  return b.p;
}

// Threadgroups of a cluster: they run one after another, in any order of lanes.
unsigned msl_cluster = 1;

struct MslOptions {
  int order;
  unsigned long seed;
};

// Returns 0, or -1 with a message in err.
NOSAN int msl_launch(MslEntry entry, void** bufs, const unsigned* grid, const unsigned* tgs,
                     const MslOptions* opt, char* err, int err_n) {
  Run run;
  R = &run;
  run.entry = entry;
  run.bufs = bufs;
  run.order = opt->order;
  run.seed = opt->seed * 0x9E3779B97F4A7C15ul | 1;
  unsigned T[3], G[3];
  for (int i = 0; i < 3; i++) {
    T[i] = tgs[i] < grid[i] ? tgs[i] : grid[i];
    if (T[i])
      G[i] = (grid[i] + T[i] - 1) / T[i];
    else
      return 0;
  }
  unsigned full = T[0] * T[1] * T[2];
  if (full > 1024) {
    fail("threadgroup of " + std::to_string(full) + " threads, Metal has at most 1024");
  }
  size_t pool = kStack * size_t(full);
  char* stacks =
      (char*)mmap(nullptr, pool, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  run.lanes.resize(full);
  for (unsigned i = 0; i < full; i++) {
    run.lanes[i].stack = stacks + i * kStack;
#ifdef MSL_TSAN
    run.lanes[i].tsan = __tsan_create_fiber(0);
#endif
  }
#ifdef MSL_TSAN
  run.sched_tsan = __tsan_get_current_fiber();
  static char launch_hb;
  __tsan_release(&launch_hb);
#endif
  std::vector<unsigned> order;
  std::vector<unsigned long> tg_order;
  unsigned long total = (unsigned long)G[0] * G[1] * G[2];
  for (unsigned long k = 0; k < total && run.error.empty(); k++) {
    unsigned long gi = run.order == 1 ? total - 1 - k : k;
    if (run.order == 1) gi += msl_cluster - 1 - 2 * (gi % msl_cluster);
    unsigned g[3] = {unsigned(gi % G[0]), unsigned(gi / G[0] % G[1]), unsigned(gi / G[0] / G[1])};
    unsigned S[3];  // size of this threadgroup: Metal's dispatchThreads cuts the edge ones
    for (int i = 0; i < 3; i++) S[i] = g[i] * T[i] + T[i] > grid[i] ? grid[i] - g[i] * T[i] : T[i];
    unsigned n = S[0] * S[1] * S[2], ns = (n + 31) / 32;
    run.n = n;
    run.done = 0;
    run.tg_arrived = 0;
    run.tg_bytes = 0;
    run.lanes.resize(full);
    run.groups.assign(ns, Group{});
    for (unsigned i = 0; i < full; i++) run.lanes[i].state = DONE;
    for (unsigned i = 0; i < n; i++) {
      Lane& l = run.lanes[i];
      MslThread& t = l.t;
      unsigned p[3] = {i % S[0], i / S[0] % S[1], i / S[0] / S[1]};
      for (int d = 0; d < 3; d++) {
        t.thread_position_in_threadgroup[d] = p[d];
        t.thread_position_in_grid[d] = g[d] * T[d] + p[d];
        t.threadgroup_position_in_grid[d] = g[d];
        t.threadgroups_per_grid[d] = G[d];
        t.threads_per_threadgroup[d] = S[d];
        t.dispatch_threads_per_threadgroup[d] = T[d];
        t.threads_per_grid[d] = grid[d];
      }
      t.thread_index_in_threadgroup = i;
      t.thread_index_in_simdgroup = i % 32;
      t.simdgroup_index_in_threadgroup = i / 32;
      t.simdgroups_per_threadgroup = ns;
      t.dispatch_simdgroups_per_threadgroup = (full + 31) / 32;
      run.groups[i / 32].live++;
      start_lane(&l);
#ifdef MSL_TSAN
      // threadgroups are unordered on the GPU, but they run on the same fibers
      // here; order them, and leave cross-threadgroup races to order= tests
      __tsan_switch_to_fiber(l.tsan, 0);
      __tsan_acquire(&launch_hb);
      __tsan_switch_to_fiber(run.sched_tsan, 0);
#endif
    }
    order.resize(n);
    for (unsigned i = 0; i < n; i++) order[i] = run.order == 1 ? n - 1 - i : i;
    while (run.done < n && run.error.empty()) {
      if (run.order == 2)
        for (unsigned i = n; i > 1; i--) std::swap(order[i - 1], order[rnd() % i]);
      bool moved = false;
      for (unsigned i = 0; i < n && run.error.empty(); i++) {
        Lane& l = run.lanes[order[i]];
        if (l.state == READY) {
          to_lane(&l);
          moved = true;
        }
      }
      if (!moved && run.done < n && run.error.empty()) {
        for (auto& l : run.lanes)
          if (l.state != DONE) {
            fail("deadlock: " + where(l) + " waits at " + op_name(l.op) + " (line " + std::to_string(l.line) +
                 ")");
            break;
          }
      }
    }
#ifdef MSL_TSAN
    __tsan_acquire(&run.hb[2]);
    __tsan_release(&launch_hb);
#endif
    for (auto& b : run.tg_mem) {
      free(b.p);
      b.p = nullptr;
    }
  }
#ifdef MSL_TSAN
  for (unsigned i = 0; i < full; i++) __tsan_destroy_fiber(run.lanes[i].tsan);
#endif
  munmap(stacks, pool);
  R = nullptr;
  if (!run.error.empty()) {
    snprintf(err, err_n, "%s", run.error.c_str());
    return -1;
  }
  return 0;
}
}

#ifdef MSL_MAIN
// Stand-alone form for sanitizer builds. File: "nbuf grid[3] tg[3] order seed"
// as 9 int64, then per buffer int64 size, then the bytes. Written
// back in place.
extern "C" void msl_entry(void**, const MslThread*);
int main(int argc, char** argv) {
  if (argc < 2) return 2;
  FILE* f = fopen(argv[1], "r+b");
  int64_t h[9];
  if (!f || fread(h, 8, 9, f) != 9) return 2;
  std::vector<void*> bufs(h[0]);
  std::vector<long> off(h[0]), size(h[0]);
  for (int64_t i = 0; i < h[0]; i++) {
    int64_t n;
    if (fread(&n, 8, 1, f) != 1) return 2;
    bufs[i] = malloc(n);
    off[i] = ftell(f);
    size[i] = n;
    if (n && fread(bufs[i], 1, n, f) != size_t(n)) return 2;
  }
  unsigned grid[3] = {unsigned(h[1]), unsigned(h[2]), unsigned(h[3])},
           tg[3] = {unsigned(h[4]), unsigned(h[5]), unsigned(h[6])};
  MslOptions o{int(h[7]), (unsigned long)h[8]};
  char err[512] = "";
  int rc = msl_launch(msl_entry, bufs.data(), grid, tg, &o, err, sizeof err);
  for (int64_t i = 0; i < h[0]; i++) {
    fseek(f, off[i], SEEK_SET);
    fwrite(bufs[i], 1, size[i], f);
    free(bufs[i]);
  }
  fclose(f);
  if (rc) {
    fprintf(stderr, "MSL: %s\n", err);
    return 3;
  }
  return 0;
}
#endif
