#include "matrix.h"

#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace flash {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kChunk = 2 * kHugePage;

// Four nibbles, lowest first, as four bytes.
std::uint32_t spread(std::uint32_t nibbles) {
  const std::uint32_t pairs = (nibbles | nibbles << 8) & 0x00ff00ff;
  return (pairs | pairs << 4) & 0x0f0f0f0f;
}

}  // namespace

void FreeAligned::operator()(std::uint8_t* memory) const { std::free(memory); }

Buffer make_buffer(std::size_t bytes) {
  const std::size_t alignment = bytes < kHugePage ? 64 : kHugePage;
  const std::size_t size = (bytes + alignment - 1) / alignment * alignment;
  auto* memory = static_cast<std::uint8_t*>(std::aligned_alloc(alignment, size));
  if (!memory) throw std::bad_alloc();
#if defined(__linux__)
  if (alignment == kHugePage) madvise(memory, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  std::memset(memory, 0, bytes);
  return Buffer(memory);
}

std::shared_ptr<std::uint8_t> Arena::take(std::size_t bytes) {
  const std::size_t size = (bytes + 63) / 64 * 64;
  if (size > kChunk) return std::shared_ptr<std::uint8_t>(make_buffer(size).release(), FreeAligned());
  if (size > left_) {
    left_ = kChunk;
    chunk_ = std::shared_ptr<std::uint8_t>(make_buffer(left_).release(), FreeAligned());
    end_ = chunk_.get() + left_;
  }
  std::uint8_t* memory = end_ - left_;
  left_ -= size;
  return {chunk_, memory};
}

Matrix::Matrix(int rows, int k, int bits, int group, Arena& arena)
    : rows_(rows), packed_{nullptr, k, group, static_cast<Bits>(bits)} {
  if (bits != 4 && bits != 8 && bits != 16)
    throw std::invalid_argument("a matrix of " + std::to_string(bits) + " bits is not supported (4, 8 or 16)");
  if ((group != 32 && group != 64) || k % group != 0)
    throw std::invalid_argument("a matrix of " + std::to_string(k) + " columns in groups of " + std::to_string(group) +
                                " is not supported (groups of 32 or 64 that divide the columns)");
  data_ = arena.take(bytes());
  packed_.data = data_.get();
}

std::size_t Matrix::bytes() const {
  return static_cast<std::size_t>(blocks()) * packed_.groups() * packed_.group_bytes();
}

void Matrix::fill(int first, int step, int rows, const std::uint32_t* weight, const std::uint16_t* scales,
                  const std::uint16_t* biases) {
  const bool nibbles = packed_.bits == Bits::k4;
  const int words = packed_.value_bytes() / 64;
  for (int row = 0; row < rows; ++row) {
    const int lane = row % kLanes;
    std::uint8_t* out = block(first + row / kLanes * step);
    for (int g = 0; g < packed_.groups(); ++g, out += packed_.group_bytes()) {
      for (int i = 0; i < words; ++i) {
        const std::uint32_t word = *weight++;
        const std::uint32_t bytes = nibbles ? spread(word & 0xffff) | spread(word >> 16) << 4 : word;
        std::memcpy(out + 64 * i + 4 * lane, &bytes, sizeof bytes);
      }
      std::memcpy(out + 64 * words + 2 * lane, scales++, 2);
      std::memcpy(out + 64 * words + 2 * (kLanes + lane), biases++, 2);
    }
  }
}

void Matrix::fill_halves(int first, int step, int rows, const std::uint16_t* values) {
  for (int row = 0; row < rows; ++row) {
    std::uint8_t* out = block(first + row / kLanes * step) + 2 * (row % kLanes);
    for (int i = 0; i < packed_.k; ++i, out += 2 * kLanes) std::memcpy(out, values++, 2);
  }
}

}  // namespace flash
