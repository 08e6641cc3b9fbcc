// Whether the machine has AMX as the Intel SDM and Linux describe it, apart from the engine: no tiles without permission,
// tile configuration, products of bytes of every sign against a loop, and tiles kept from process to process.
#include <immintrin.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

struct alignas(64) Config {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};
};

constexpr int kRows = 13;     // of the sums
constexpr int kColumns = 11;  // of the sums
constexpr int kDepth = 9;     // in words of four bytes

Config config() {
  Config result;
  result.row_bytes[0] = 4 * kColumns, result.rows[0] = kRows;
  result.row_bytes[1] = 4 * kDepth, result.rows[1] = kRows;
  result.row_bytes[2] = 4 * kColumns, result.rows[2] = kDepth;
  return result;
}

void require(bool holds, const char* what) {
  if (holds) return;
  std::printf("tiles: %s\n", what);
  std::exit(1);
}

template <class A, class B>
void expect(const A (&a)[kRows][4 * kDepth], const B (&b)[kDepth][4 * kColumns], std::int32_t start,
            const std::int32_t (&sums)[kRows][kColumns], const char* name) {
  for (int m = 0; m < kRows; ++m)
    for (int n = 0; n < kColumns; ++n) {
      std::int32_t sum = start;
      for (int k = 0; k < 4 * kDepth; ++k) sum += a[m][k] * b[k / 4][4 * n + k % 4];
      require(sum == sums[m][n], name);
    }
}

template <class T, int R, int C>
void fill(T (&values)[R][C]) {
  for (auto& row : values)
    for (T& value : row) value = static_cast<T>(std::rand() >> 8);
}

#define PRODUCT(A, B, instruction)                                \
  {                                                               \
    A a[kRows][4 * kDepth];                                       \
    B b[kDepth][4 * kColumns];                                    \
    std::int32_t sums[kRows][kColumns];                           \
    fill(a), fill(b);                                             \
    for (auto& row : sums)                                        \
      for (std::int32_t& sum : row) sum = -77;                    \
    asm volatile("" ::: "memory");                                \
    _tile_loadd(0, sums, sizeof sums[0]);                         \
    _tile_loadd(1, a, sizeof a[0]);                               \
    if (yielding) sched_yield();                                  \
    _tile_loadd(2, b, sizeof b[0]);                               \
    instruction(0, 1, 2);                                         \
    if (yielding) sched_yield();                                  \
    _tile_stored(0, sums, sizeof sums[0]);                        \
    asm volatile("" ::: "memory");                                \
    expect(a, b, -77, sums, #instruction " differs from a loop"); \
  }

void products(bool yielding) {
  for (int round = 0; round < 50; ++round) {
    PRODUCT(std::int8_t, std::uint8_t, _tile_dpbsud)
    PRODUCT(std::uint8_t, std::int8_t, _tile_dpbusd)
    PRODUCT(std::int8_t, std::int8_t, _tile_dpbssd)
    PRODUCT(std::uint8_t, std::uint8_t, _tile_dpbuud)
  }
}

int ended(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

}  // namespace

int main() {
  const Config wanted = config();
  const pid_t unpermitted = fork();
  if (unpermitted == 0) {
    _tile_loadconfig(&wanted);
    _exit(0);
  }
  const int status = ended(unpermitted);
  require(WIFSIGNALED(status) && WTERMSIG(status) == SIGILL, "can be used without permission");
  require(syscall(SYS_arch_prctl, 0x1023, 18) == 0, "permission refused");

  Config seen;
  _tile_loadconfig(&wanted);
  _tile_storeconfig(&seen);
  require(std::memcmp(&wanted, &seen, sizeof seen) == 0, "stored configuration differs");
  products(false);
  for (int process = 0; process < 3; ++process)
    if (fork() == 0) {
      std::srand(process);
      _tile_loadconfig(&wanted);
      products(true);
      std::exit(0);
    }
  for (int process = 0; process < 3; ++process) require(ended(-1) == 0, "lost between processes");
  std::puts("tiles: as documented");
}
