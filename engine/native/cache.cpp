#include "cache.h"

#include <cstring>
#include <stdexcept>
#include <string>

namespace flash {

KvCache::KvCache(int layers, int kv_heads, int head_dim) : layers_(layers), kv_heads_(kv_heads), head_dim_(head_dim) {}

void KvCache::trim(int length) {
  if (length < 0 || length > length_)
    throw std::invalid_argument("cannot trim a cache of " + std::to_string(length_) + " tokens to " +
                                std::to_string(length));
  length_ = length;
}

std::unique_ptr<KvCache> KvCache::fork() const {
  auto copy = std::make_unique<KvCache>(layers_, kv_heads_, head_dim_);
  const int used = (length_ + kAttentionBlock - 1) / kAttentionBlock;
  copy->blocks_.assign(blocks_.begin(), blocks_.begin() + used);
  copy->length_ = length_;
  return copy;
}

void KvCache::prepare(int length) {
  const std::size_t needed = (length + kAttentionBlock - 1) / kAttentionBlock;
  for (std::size_t i = length_ / kAttentionBlock; i < needed; ++i) {
    if (i < blocks_.size() && blocks_[i].use_count() == 1) continue;
    std::shared_ptr<std::uint8_t> fresh(make_buffer(block_bytes()).release(), FreeAligned());
    if (i < blocks_.size()) {
      std::memcpy(fresh.get(), blocks_[i].get(), block_bytes());
      blocks_[i] = std::move(fresh);
    } else {
      blocks_.push_back(std::move(fresh));
    }
  }
}

std::size_t KvCache::part_bytes() const { return kAttentionBlock * (2 * head_dim_ + 2 * sizeof(float)); }

KvBlock KvCache::block(int layer, int kv_head, int index) const {
  std::uint8_t* part = blocks_[index].get() + part_bytes() * (layer * kv_heads_ + kv_head);
  const std::size_t plane = static_cast<std::size_t>(kAttentionBlock) * head_dim_;
  auto* scales = reinterpret_cast<float*>(part + 2 * plane);
  return {part, reinterpret_cast<std::int8_t*>(part + plane), scales, scales + kAttentionBlock};
}

}  // namespace flash
