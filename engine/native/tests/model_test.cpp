// A random model with experts and latent attention: any number of threads and any cut into passes gives the same bits.
// Prints one line a number of threads; exit status 1 names what differs. Its use is under the sanitizers.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
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

// Of halves between 1/32 and 1/16, and their negatives.
std::shared_ptr<const Matrix> matrix(int rows, int k) {
  Arena arena;
  auto result = std::make_shared<Matrix>(rows, k, 16, 32, arena);
  std::vector<std::uint16_t> values(static_cast<std::size_t>(rows) * k);
  for (auto& value : values) value = static_cast<std::uint16_t>((random_bits() & 0x83ff) | 0x2800);
  result->fill_halves(0, 1, rows, values.data());
  return result;
}

Linear linear(int rows, int k) { return Linear(matrix(rows, k)); }
Norm ones(int size) { return {std::vector<float>(size, 1.0f), {}, 1e-6f}; }
Mlp mlp(int width) { return {linear(2 * width, kHidden), linear(kHidden, width), Activation::kSilu, true}; }

Layer layer(std::shared_ptr<const FeedForward> feed_forward, int window) {
  const int keys = kShape.key_dim - kRopeDim;
  auto heads = std::make_shared<LatentHeads>(linear(2 * kRank + kRopeDim, kHidden), ones(kRank),
                                             linear(kShape.heads * kShape.key_dim, kRank), ones(kRank),
                                             linear(kShape.heads * (keys + kShape.value_dim), kRank), kRopeDim);
  Attention attention(linear(kHidden, kShape.heads * kShape.value_dim), window);
  return {ones(kHidden), std::move(heads), std::move(attention), ones(kHidden), std::move(feed_forward)};
}

Model model(int threads) {
  random_bits.seed(7);
  std::vector<Mlp> experts;
  for (int i = 0; i < 8; ++i) experts.push_back(mlp(32));
  const Choice choice{8, 3, 4, 2, true, 1.5f};
  auto shared = std::make_shared<Mlp>(mlp(64));
  std::vector<Layer> layers{
      layer(std::make_shared<Experts>(linear(8, kHidden), std::move(experts), std::move(shared), choice), kCapacity),
      layer(std::make_shared<Mlp>(mlp(96)), 20)};
  const auto embedding = matrix(kVocabulary, kHidden);
  const std::vector<float> angles(kCapacity * kShape.key_dim / 2, 0.7f);
  return {kShape, {embedding, 1.0f, std::move(layers), ones(kHidden), Linear(embedding), {angles, angles}},
          kernels_for(""), threads};
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
  Model alone = model(1);
  const std::vector<float> expected = logits(alone, 1);
  for (int threads = 1; threads <= 4; ++threads) {
    Model shared = model(threads);
    for (const int step : {1, 3, 8, kTokens})
      if (std::memcmp(logits(shared, step).data(), expected.data(), expected.size() * sizeof(float)) != 0) {
        std::printf("%d threads, passes of %d: other logits\n", threads, step);
        return 1;
      }
    std::printf("model on %d threads: every pass equal\n", threads);
  }
}
