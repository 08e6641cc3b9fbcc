// A random model with experts and latent attention, of 4, 8 and 16 bits: any instruction set of this processor, any
// number of threads and any cut into passes gives the same bits. Prints one line an instruction set and number of
// threads; exit status 1 names what differs. Its use is under the sanitizers and in emulators.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "../cpu.h"
#include "../experts.h"
#include "../latent_heads.h"
#include "../model.h"

namespace {

using namespace flash;

constexpr int kHidden = 64;
constexpr int kVocabulary = 96;
constexpr int kTokens = 40;
constexpr int kCapacity = 300;
constexpr AttentionShape kShape{2, 2, 64, 32};
constexpr int kRopeDim = 32;
constexpr int kRank = 32;

std::mt19937 random_bits(7);

constexpr int kGroup = 32;

// Halves from `least` (its bits) to twice as much, and their negatives.
std::vector<std::uint16_t> halves(int n, int least) {
  std::vector<std::uint16_t> values(n);
  for (auto& value : values) value = static_cast<std::uint16_t>((random_bits() & 0x83ff) | least);
  return values;
}

std::shared_ptr<const Matrix> matrix(int rows, int k, int bits) {
  Arena arena;
  auto result = std::make_shared<Matrix>(rows, k, bits, kGroup, arena);
  if (bits == 16) {
    result->fill_halves(0, 1, rows, halves(rows * k, 0x2800).data());
    return result;
  }
  std::vector<std::uint32_t> weight(static_cast<std::size_t>(rows) * k * bits / 32);
  for (auto& word : weight) word = static_cast<std::uint32_t>(random_bits());
  const std::vector<std::uint16_t> scales = halves(rows * k / kGroup, bits == 4 ? 0x1c00 : 0x0c00);
  result->fill(0, 1, rows, weight.data(), scales.data(), halves(rows * k / kGroup, 0x2400).data());
  return result;
}

Linear linear(int rows, int k, int bits) { return Linear(matrix(rows, k, bits)); }
Norm ones(int size) { return {std::vector<float>(size, 1.0f), {}, 1e-6f}; }
Mlp mlp(int width, int bits) {
  return {linear(2 * width, kHidden, bits), linear(kHidden, width, bits), Activation::kSilu, true};
}

Layer layer(std::shared_ptr<const FeedForward> feed_forward, int window, int bits) {
  const int keys = kShape.key_dim - kRopeDim;
  auto heads = std::make_shared<LatentHeads>(linear(2 * kRank + kRopeDim, kHidden, bits), ones(kRank),
                                             linear(kShape.heads * kShape.key_dim, kRank, bits), ones(kRank),
                                             linear(kShape.heads * (keys + kShape.value_dim), kRank, bits), kRopeDim);
  Attention attention(linear(kHidden, kShape.heads * kShape.value_dim, bits), window);
  return {ones(kHidden), std::move(heads), std::move(attention), ones(kHidden), std::move(feed_forward)};
}

Model model(const std::string& isa, int threads, int bits) {
  random_bits.seed(7);
  std::vector<Mlp> experts;
  for (int i = 0; i < 8; ++i) experts.push_back(mlp(32, bits));
  const Choice choice{8, 3, 4, 2, true, 1.5f};
  auto shared = std::make_shared<Mlp>(mlp(64, bits));
  std::vector<Layer> layers{
      layer(std::make_shared<Experts>(linear(8, kHidden, bits), std::move(experts), std::move(shared), choice),
            kCapacity, bits),
      layer(std::make_shared<Mlp>(mlp(96, bits)), 20, bits)};
  const auto embedding = matrix(kVocabulary, kHidden, bits);
  const std::vector<float> angles(kCapacity * kShape.key_dim / 2, 0.7f);
  return {kShape, {embedding, 1.0f, std::move(layers), ones(kHidden), Linear(embedding), {angles, angles}},
          kernels_for(isa), threads};
}

// Logits of all tokens, in passes of `step`.
std::vector<float> logits(Model& model, int step) {
  KvCache cache = model.new_cache();
  std::vector<float> out(static_cast<std::size_t>(kTokens) * model.logits_stride());
  for (int done = 0; done < kTokens; done += step) {
    std::vector<std::int32_t> tokens;
    for (int i = done; i < std::min(kTokens, done + step); ++i) tokens.push_back(i * 37 % kVocabulary);
    const int count = static_cast<int>(tokens.size());
    model.forward(tokens, cache, count, out.data() + static_cast<std::ptrdiff_t>(done) * model.logits_stride(),
                  nullptr, nullptr);
  }
  return out;
}

}  // namespace

int main() {
  constexpr int kBits[] = {4, 8, 16};
  std::vector<std::vector<float>> expected;
  for (const int bits : kBits) {
    Model alone = model("scalar", 1, bits);
    expected.push_back(logits(alone, 1));
  }
  for (const std::string& isa : supported_isas())
    for (int threads = 1; threads <= 4; ++threads) {
      for (int i = 0; i < 3; ++i) {
        Model shared = model(isa, threads, kBits[i]);
        for (const int step : {1, 3, 8, kTokens})
          if (std::memcmp(logits(shared, step).data(), expected[i].data(), expected[i].size() * sizeof(float)) != 0) {
            std::printf("%s: %d bits, %d threads, passes of %d: other logits\n", isa.c_str(), kBits[i], threads, step);
            return 1;
          }
      }
      std::printf("%s: model on %d threads: every pass equal\n", isa.c_str(), threads);
      std::fflush(stdout);
    }
}
