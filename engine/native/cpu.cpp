#include "cpu.h"

#include <stdexcept>

#if defined(FLASH_X86)
#include <immintrin.h>
#endif
#if defined(FLASH_X86) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(FLASH_NEON) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(FLASH_NEON) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace flash {
namespace {

#if defined(FLASH_X86)
struct Cpuid {
  unsigned a = 0, b = 0, c = 0, d = 0;
  Cpuid(unsigned leaf, unsigned subleaf) {
    asm volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(leaf), "c"(subleaf));
  }
};

bool bit(unsigned word, int index) { return word >> index & 1; }

// Register state that the operating system saves (XCR0).
unsigned long long saved_state() {
  if (!bit(Cpuid(1, 0).c, 27)) return 0;
  unsigned low = 0;
  unsigned high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<unsigned long long>(high) << 32 | low;
}

#if defined(FLASH_EMULATE_TILES)
bool has_tiles(unsigned long long) { return true; }
#else
// Linux gives a process AMX tiles only on request (ARCH_REQ_XCOMP_PERM for XTILEDATA).
bool tiles_permitted() {
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023;
  constexpr long kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

bool has_tiles(unsigned long long state) {
  const Cpuid extended(7, 0);
  return (state >> 17 & 3) == 3 && bit(extended.d, 24) && bit(extended.d, 25) && tiles_permitted();
}
#endif

std::vector<const Kernels*> detect() {
  std::vector<const Kernels*> found;
  const unsigned long long state = saved_state();
  const Cpuid basic(1, 0);
  const Cpuid extended(7, 0);
  const Cpuid more(7, 1);
  const bool avx2 = (state & 0x6) == 0x6 && bit(extended.b, 5) && bit(basic.c, 12) && bit(basic.c, 29);
  const bool avx512 = avx2 && (state & 0xe6) == 0xe6 && bit(extended.b, 16) && bit(extended.b, 17) &&
                      bit(extended.b, 30) && bit(extended.b, 31);
  const bool vnni = avx512 && bit(extended.c, 11);
  if (vnni && has_tiles(state)) found.push_back(&kAmxKernels);

  if (vnni) found.push_back(&kAvx512VnniKernels);
  if (avx2 && bit(more.a, 4)) found.push_back(&kAvxVnniKernels);
  if (avx512) found.push_back(&kAvx512Kernels);
  if (avx2) found.push_back(&kAvx2Kernels);
  found.push_back(&kScalarKernels);
  return found;
}
#elif defined(FLASH_NEON)
// ARMv8.2's SDOT and ARMv8.6's USMMLA; where the system cannot be asked, as if they were not there.
#if defined(__linux__)
bool has_dot_products() { return getauxval(AT_HWCAP) & 1ul << 20; }      // HWCAP_ASIMDDP
bool has_matrix_products() { return getauxval(AT_HWCAP2) & 1ul << 13; }  // HWCAP2_I8MM
#elif defined(__APPLE__)
bool has_feature(const char* name) {
  int value = 0;
  std::size_t size = sizeof value;
  return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value;
}
bool has_dot_products() { return has_feature("hw.optional.arm.FEAT_DotProd"); }
bool has_matrix_products() { return has_feature("hw.optional.arm.FEAT_I8MM"); }
#else
bool has_dot_products() { return false; }
bool has_matrix_products() { return false; }
#endif

std::vector<const Kernels*> detect() {
  std::vector<const Kernels*> found;
  if (has_dot_products() && has_matrix_products()) found.push_back(&kNeonI8mmKernels);
  if (has_dot_products()) found.push_back(&kNeonKernels);
  found.push_back(&kScalarKernels);
  return found;
}
#else
std::vector<const Kernels*> detect() { return {&kScalarKernels}; }
#endif

const std::vector<const Kernels*>& supported() {
  static const std::vector<const Kernels*> found = detect();
  return found;
}

}  // namespace

std::vector<std::string> supported_isas() {
  std::vector<std::string> names;
  for (const Kernels* kernels : supported()) names.emplace_back(kernels->name);
  return names;
}

const Kernels& kernels_for(const std::string& name) {
  if (name.empty()) return *supported().front();
  std::string names;
  for (const Kernels* kernels : supported()) {
    if (kernels->name == name) return *kernels;
    names += names.empty() ? "" : ", ";
    names += kernels->name;
  }
  throw std::invalid_argument("FLASH_ISA is '" + name + "', which this machine cannot run (it can: " + names + ")");
}

#if defined(FLASH_X86)
FloatMode::FloatMode() : saved_(_mm_getcsr()) { _mm_setcsr(0x1f80); }
FloatMode::~FloatMode() { _mm_setcsr(static_cast<unsigned>(saved_)); }
#elif defined(FLASH_NEON)
FloatMode::FloatMode() : saved_(0) {
  asm volatile("mrs %0, fpcr" : "=r"(saved_));
  asm volatile("msr fpcr, %0" : : "r"(std::uint64_t{0}));
}
FloatMode::~FloatMode() { asm volatile("msr fpcr, %0" : : "r"(saved_)); }
#else
FloatMode::FloatMode() : saved_(0) {}
FloatMode::~FloatMode() = default;
#endif

}  // namespace flash
