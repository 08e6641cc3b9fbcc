// The int8 keys and values of one sequence of tokens.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels.h"
#include "matrix.h"

namespace flash {

class KvCache {
 public:
  KvCache(int layers, const AttentionShape& shape);

  int length() const { return length_; }
  std::size_t bytes() const { return blocks_.size() * block_bytes(); }

  // Keeps the first `length` positions. Throws std::invalid_argument if there are fewer.
  void trim(int length);
  // An independent cache with the same content; blocks are copied when one of the two writes to them.
  std::unique_ptr<KvCache> fork() const;

  // The blocks that hold the positions, one after the other, as restore takes them back.
  std::string save() const;
  // Holds the `length` positions that `size` bytes of save() hold. Throws std::invalid_argument, before anything is
  // changed, if they cannot be of such a cache.
  void restore(const char* data, std::size_t size, int length);

  // Makes the positions length() .. length-1 writable; they count only after set_length(length).
  void prepare(int length);
  void set_length(int length) { length_ = length; }
  KvBlock block(int layer, int kv_head, int index) const;
  // Of a KvBlock, which lies in one piece.
  std::size_t part_bytes() const;

 private:
  std::size_t block_bytes() const { return part_bytes() * layers_ * shape_.kv_heads; }

  int layers_;
  AttentionShape shape_;
  int length_ = 0;
  std::vector<std::shared_ptr<std::uint8_t>> blocks_;
};

}  // namespace flash
