// A matrix in the order the kernels read (PackedMatrix in kernels.h), from MLX's packing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels.h"

namespace flash {

struct FreeAligned {
  void operator()(std::uint8_t* memory) const;
};
using Buffer = std::unique_ptr<std::uint8_t[], FreeAligned>;

// `bytes` of zeroed memory at a 64-byte boundary, in huge pages where the system has them to give.
Buffer make_buffer(std::size_t bytes);

// Memory for matrices, one behind the other in huge pages: small ones would each lie in pages of 4 KiB, at whose ends
// the processor's prefetching stops.
class Arena {
 public:
  std::shared_ptr<std::uint8_t> take(std::size_t bytes);

 private:
  std::shared_ptr<std::uint8_t> chunk_;
  std::uint8_t* end_ = nullptr;
  std::size_t left_ = 0;
};

class Matrix {
 public:
  // `rows` x `k` of 4, 8 or 16 bits a value, in groups of 32 or 64 along k, each with its scale of activations.
  // Throws std::invalid_argument for what is not supported.
  Matrix(int rows, int k, int bits, int group, Arena& arena);

  // Packs `rows` source rows into every `step`-th block of 16 from `block` on; missing rows of the last block are zero.
  // weight: MLX's uint32 [rows][k * bits / 32], lowest bits first; scales, biases: IEEE half [rows][k / group].
  void fill(int block, int step, int rows, const std::uint32_t* weight, const std::uint16_t* scales,
            const std::uint16_t* biases);
  // The same for 16 bits: IEEE half [rows][k].
  void fill_halves(int block, int step, int rows, const std::uint16_t* values);

  int rows() const { return rows_; }
  int blocks() const { return (rows_ + kLanes - 1) / kLanes; }
  int k() const { return packed_.k; }
  int group() const { return packed_.group; }
  int bits() const { return static_cast<int>(packed_.bits); }
  std::size_t bytes() const;
  const PackedMatrix& packed() const { return packed_; }

 private:
  std::uint8_t* block(int index) { return data_.get() + (packed_.block(index) - packed_.data); }

  int rows_;
  std::shared_ptr<std::uint8_t> data_;
  PackedMatrix packed_;
};

}  // namespace flash
