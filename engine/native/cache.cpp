#include "cache.h"

#include <cstring>
#include <stdexcept>
#include <string>

namespace flash {

KvCache::KvCache(int layers, const AttentionShape& shape) : layers_(layers), shape_(shape) {}

void KvCache::trim(int length) {
  if (length < 0 || length > length_)
    throw std::invalid_argument("cannot trim a cache of " + std::to_string(length_) + " tokens to " +
                                std::to_string(length));
  length_ = length;
}

std::unique_ptr<KvCache> KvCache::fork() const {
  auto copy = std::make_unique<KvCache>(layers_, shape_);
  const int used = (length_ + kAttentionBlock - 1) / kAttentionBlock;
  copy->blocks_.assign(blocks_.begin(), blocks_.begin() + used);
  copy->length_ = length_;
  return copy;
}

std::string KvCache::save() const {
  std::string data;
  const int used = (length_ + kAttentionBlock - 1) / kAttentionBlock;
  data.reserve(used * block_bytes());
  for (int i = 0; i < used; ++i) data.append(reinterpret_cast<const char*>(blocks_[i].get()), block_bytes());
  return data;
}

void KvCache::restore(const char* data, std::size_t size, int length) {
  const std::size_t used = length < 0 ? 0 : (length + kAttentionBlock - 1) / kAttentionBlock;
  if (length < 0 || size != used * block_bytes())
    throw std::invalid_argument(std::to_string(size) + " bytes are not those of " + std::to_string(length) +
                                " tokens of this cache");
  length_ = 0;
  blocks_.clear();
  prepare(length);
  for (std::size_t i = 0; i < used; ++i) std::memcpy(blocks_[i].get(), data + i * block_bytes(), block_bytes());
  length_ = length;
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

std::size_t KvCache::part_bytes() const {
  return kAttentionBlock * (shape_.key_dim + shape_.value_dim + 2 * sizeof(float));
}

KvBlock KvCache::block(int layer, int kv_head, int index) const {
  std::uint8_t* part = blocks_[index].get() + part_bytes() * (layer * shape_.kv_heads + kv_head);
  std::uint8_t* values = part + static_cast<std::size_t>(kAttentionBlock) * shape_.key_dim;
  auto* scales = reinterpret_cast<float*>(values + static_cast<std::size_t>(kAttentionBlock) * shape_.value_dim);
  return {part, reinterpret_cast<std::int8_t*>(values), scales, scales + kAttentionBlock};
}

}  // namespace flash
