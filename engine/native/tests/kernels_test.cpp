// Every kernel table of this build that the processor can run against the scalar one, bit for bit, on random input.
// Prints one line a table; exit status 1 names the function that differs.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "../cpu.h"
#include "../matrix.h"
#include "../pool.h"

namespace {

using namespace flash;

std::mt19937 random_bits(7);

std::vector<float> floats(std::size_t n, float scale) {
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> values(n);
  for (float& value : values) value = normal(random_bits);
  return values;
}

std::uint16_t half(float value) {  // a normal half, mantissa cut
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const int exponent = static_cast<int>(bits >> 23 & 255) - 127 + 15;
  if (exponent <= 0) return 0;
  return static_cast<std::uint16_t>((bits >> 16 & 0x8000) | exponent << 10 | (bits >> 13 & 1023));
}

Matrix matrix(int rows, int k, int bits, int group) {
  Arena arena;
  Matrix result(rows, k, bits, group, arena);
  if (bits == 16) {
    std::vector<std::uint16_t> values(static_cast<std::size_t>(rows) * k);
    for (auto& value : values) value = half(std::normal_distribution<float>(0.0f, 0.1f)(random_bits));
    result.fill_halves(0, 1, rows, values.data());
    return result;
  }
  std::vector<std::uint32_t> weight(static_cast<std::size_t>(rows) * k * bits / 32);
  std::vector<std::uint16_t> scales(static_cast<std::size_t>(rows) * k / group);
  std::vector<std::uint16_t> biases(scales.size());
  for (auto& word : weight) word = static_cast<std::uint32_t>(random_bits());
  std::fill_n(weight.begin(), k * bits / 32, ~std::uint32_t{0});  // one row of the largest integers
  for (auto& scale : scales) scale = half(std::normal_distribution<float>(0.0f, 0.02f)(random_bits));
  for (auto& bias : biases) bias = half(std::normal_distribution<float>(0.0f, 0.1f)(random_bits));
  result.fill(0, 1, rows, weight.data(), scales.data(), biases.data());
  return result;
}

// What one table computes, for comparison as bytes.
class Record {
 public:
  template <class T>
  void add(const std::string& name, const std::vector<T>& values) {
    const auto* bytes = reinterpret_cast<const char*>(values.data());
    parts_.emplace_back(name, std::string(bytes, bytes + values.size() * sizeof(T)));
  }
  void require_equal(const Record& other, const char* table) const {
    for (std::size_t i = 0; i < parts_.size(); ++i)
      if (parts_[i].second != other.parts_[i].second) {
        std::printf("%s: %s differs from scalar\n", table, parts_[i].first.c_str());
        std::exit(1);
      }
    std::printf("%s: %zu results equal\n", table, parts_.size());
  }

 private:
  std::vector<std::pair<std::string, std::string>> parts_;
};

struct Buffers {
  Buffers(int tokens, int k, int group)
      : quants(static_cast<std::size_t>(tokens + kLanes) * k),
        scales(quants.size() / group),
        sums(quants.size() / group),
        view{quants.data(), scales.data(), sums.data(), k, group} {}
  std::vector<std::int8_t> quants;
  std::vector<float> scales;
  std::vector<float> sums;
  Activations view;
};

void record_products(const Kernels& kernels, int bits, int group, Record& record) {
  const int k = 5 * group;
  const int rows = 40;
  const Matrix w = matrix(rows, k, bits, group);
  const int stride = w.blocks() * kLanes;
  const std::vector<float> bias = floats(stride, 1.0f);
  for (int tokens = 1; tokens <= 35; ++tokens) {
    const std::string at = " of " + std::to_string(tokens) + " tokens, " + std::to_string(bits) + " bits, group " + std::to_string(group);
    std::vector<float> x = floats(static_cast<std::size_t>(tokens) * k, 3.0f);
    std::fill_n(x.begin(), k, 3.0f);  // one token of the largest quants
    Buffers in(tokens, k, group);
    for (int t = 0; t < tokens; ++t) kernels.quantize(x.data() + t * k, in.view.from(t));
    record.add("quantize" + at, in.quants);
    record.add("quantize sums" + at, in.sums);
    std::vector<float> out = floats(static_cast<std::size_t>(tokens) * stride, 1.0f);
    kernels.matmul_onto(w.packed(), 0, w.blocks(), bias.data(), in.view, tokens, out.data(), stride);
    record.add("matmul_onto" + at, out);
    kernels.matmul(w.packed(), 1, w.blocks(), bias.data(), in.view, tokens, out.data(), stride);
    record.add("matmul" + at, out);
  }
  std::vector<float> row(k);
  kernels.dequantize_row(w.packed(), 37, 1.5f, row.data());
  record.add("dequantize_row", row);
}

void record_rows(const Kernels& kernels, Record& record) {
  const std::vector<float> x = floats(2 * 192, 4.0f);
  const std::vector<float> weight = floats(192, 1.0f);
  Buffers out(1, 192, 64);
  kernels.rms_norm(x.data(), weight.data(), 1e-5f, out.view);
  record.add("rms_norm", out.quants);
  record.add("rms_norm scales", out.scales);
  std::vector<float> head(96);
  kernels.norm_head(x.data(), weight.data(), 1e-5f, 96, head.data());
  record.add("norm_head", head);
  kernels.layer_norm(x.data(), weight.data(), x.data() + 192, 1e-5f, out.view);
  record.add("layer_norm", out.quants);
  record.add("layer_norm scales", out.scales);
  for (int activation = 0; activation < 3; ++activation)
    for (const bool gated : {false, true}) {
      (gated ? kernels.gated : kernels.plain)[activation](x.data(), 64, 128, out.view);
      const std::string name = (gated ? "gated activation " : "activation ") + std::to_string(activation);
      record.add(name, out.quants);
      record.add(name + " scales", out.scales);
    }
  for (const int size : {1, 15, 16, 17, 383}) {
    std::vector<float> shares(x.begin(), x.begin() + (size + kLanes - 1) / kLanes * kLanes);
    kernels.softmax(shares.data(), size);
    record.add("softmax of " + std::to_string(size), shares);
    int best = 0;
    float total = 0;
    kernels.log_sum_exp(x.data(), size, &best, &total);
    record.add("log_sum_exp of " + std::to_string(size), std::vector<float>{static_cast<float>(best), total});
  }
}

void record_attention(const Kernels& kernels, const AttentionShape& shape, Record& record) {
  const int dim = shape.key_dim;
  std::vector<std::uint8_t> keys(static_cast<std::size_t>(kAttentionBlock) * dim);
  std::vector<std::int8_t> values(static_cast<std::size_t>(kAttentionBlock) * shape.value_dim);
  std::vector<float> key_scales(kAttentionBlock);
  std::vector<float> value_scales(kAttentionBlock);
  const KvBlock block{keys.data(), values.data(), key_scales.data(), value_scales.data()};
  const std::vector<float> cosine = floats(dim / 2, 0.7f);
  const std::vector<float> sine = floats(dim / 2, 0.7f);
  for (int slot = 0; slot < kAttentionBlock; ++slot) {
    kernels.store_key(floats(dim, 2.0f).data(), cosine.data(), sine.data(), dim, block, slot);
    kernels.store_value(floats(shape.value_dim, 2.0f).data(), shape.value_dim, block, slot);
  }
  record.add("store_key", keys);
  record.add("store_value", values);

  const int tokens = 5;
  std::vector<std::int8_t> quants(static_cast<std::size_t>(tokens) * shape.heads * dim);
  std::vector<float> scales(static_cast<std::size_t>(tokens) * shape.heads);
  std::vector<std::int32_t> sums(scales.size());
  for (std::size_t i = 0; i < scales.size(); ++i)
    kernels.store_query(floats(dim, 2.0f).data(), cosine.data(), sine.data(), dim, quants.data() + i * dim, &scales[i],
                        &sums[i]);
  record.add("store_query", quants);
  for (const int window : {400, 20, 1})
    for (const int start : {0, 13, 200, 253, 300}) {
      std::vector<float> partials(static_cast<std::size_t>(tokens) * shape.heads * 2 * shape.partial_size());
      for (int head = 0; head < shape.kv_heads; ++head)
        for (int i = 0; i < 2; ++i)
          kernels.attend(shape, block, i, head, 0, tokens, start, window,
                         {quants.data(), scales.data(), sums.data()}, {partials.data(), 2},
                         {keys.data(), static_cast<std::ptrdiff_t>(keys.size())});
      record.add("attend from " + std::to_string(start) + " over " + std::to_string(window), partials);
      std::vector<float> out(shape.value_dim);
      kernels.combine(shape, partials.data(), start < kAttentionBlock ? 1 : 2, out.data());
      record.add("combine", out);
    }
}

Record record(const Kernels& kernels) {
  random_bits.seed(7);
  Record result;
  for (const int bits : {4, 8, 16})
    for (const int group : {32, 64}) record_products(kernels, bits, group, result);
  record_rows(kernels, result);
  record_attention(kernels, {9, 3, 64, 64}, result);
  record_attention(kernels, {7, 1, 128, 128}, result);
  record_attention(kernels, {4, 2, 32, 32}, result);
  record_attention(kernels, {2, 1, 192, 128}, result);
  return result;
}

// Runs of many short stages: every unit is computed once, and a stage begins after the one before it.
void check_pool(int threads) {
  Pool pool(threads);
  std::vector<int> values(100);
  for (int run = 0; run < 200; ++run)
    pool.run(nullptr, [&](Crew crew) {
      for (int stage = 0; stage < 20; ++stage)
        crew.share(100 - stage, 1 + stage % 7, [&](int first, int last) {
          for (int i = first; i < last; ++i) values[i] += values[i] == 20 * run + stage;
        });
    });
  for (int i = 0; i <= 80; ++i)
    if (values[i] != 200 * 20) {
      std::printf("pool of %d threads: unit %d was computed %d times, not %d\n", threads, i, values[i], 200 * 20);
      std::exit(1);
    }
  std::printf("pool of %d threads: every stage complete\n", threads);
}

}  // namespace

int main() {
  const FloatMode mode;
  for (int threads = 1; threads <= 4; ++threads) check_pool(threads);
  const Record expected = record(kernels_for("scalar"));
  for (const std::string& name : supported_isas()) record(kernels_for(name)).require_equal(expected, name.c_str());
}
