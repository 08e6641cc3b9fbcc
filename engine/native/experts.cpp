#include "experts.h"

#include <cstring>
#include <stdexcept>
#include <utility>

#include "scratch.h"

namespace flash {
namespace {

// Rows of activations in the calling thread's own memory.
Activations gathered(const Activations& from, const Use* uses, int count) {
  thread_local ActivationBuffer buffer;
  buffer.reserve(kSliceTokens, from.k);
  const Activations to = buffer.view(from.k, from.group);
  for (int i = 0; i < count; ++i) {
    const Activations source = from.from(uses[i].token);
    const Activations row = to.from(i);
    std::memcpy(row.quants, source.quants, from.k);
    std::memcpy(row.scales, source.scales, sizeof(float) * from.groups());
    std::memcpy(row.sums, source.sums, sizeof(float) * from.groups());
  }
  return to;
}

}  // namespace

Experts::Experts(Linear router, std::vector<Mlp> experts, std::shared_ptr<const Mlp> shared, Choice choice)
    : router_(std::move(router)), experts_(std::move(experts)), shared_(std::move(shared)), choice_(choice) {
  const Mlp& first = experts_.front();
  for (const Mlp& expert : experts_)
    if (expert.width() != first.width() || expert.group() != router_.group() ||
        expert.down().group() != first.down().group())
      throw std::invalid_argument("experts differ in their size or their groups");
  if (shared_ && shared_->group() != router_.group())
    throw std::invalid_argument("the shared expert reads other groups than the router");
  if (choice_.per_token < 1 || choice_.per_token > choice_.experts || choice_.groups < 1 ||
      choice_.experts % choice_.groups != 0 || static_cast<int>(experts_.size()) != choice_.experts)
    throw std::invalid_argument(std::to_string(choice_.per_token) + " of " + std::to_string(choice_.experts) +
                                " experts in " + std::to_string(choice_.groups) + " groups cannot be chosen");
}

void Experts::check(int hidden) const {
  require_shape(router_, choice_.experts, hidden, "the router");
  for (const Mlp& expert : experts_) expert.check(hidden);
  if (shared_) shared_->check(hidden);
}

void Experts::reserve(Workspace& work) const {
  work.gated.reserve(kSliceTokens * choice_.per_token, experts_.front().width());
  work.routes.reserve(kSliceTokens, choice_);
  if (shared_) shared_->reserve(work);
}

void Experts::add_bytes(WeightBytes& bytes) const {
  WeightBytes all{};
  for (const Mlp& expert : experts_) expert.add_bytes(all);
  for (std::size_t i = 0; i < all.size(); ++i) bytes[i] += all[i] / choice_.experts * choice_.per_token;
  bytes[static_cast<std::size_t>(Operation::kGateUp)] += router_.bytes();
  if (shared_) shared_->add_bytes(bytes);
}

void Experts::run(Pass& pass, Rows rows) const {
  if (shared_) shared_->run(pass, rows);
  route(pass, rows);
  widen(pass, rows);
  pass.lap(Operation::kGateUp);
  narrow(pass);
  pass.lap(Operation::kDown);
}

void Experts::route(Pass& pass, Rows rows) const {
  Routes& routes = pass.work.routes;
  pass.project(rows, router_, router_.blocks(), routes.scores());
  pass.crew.share(1, 1, [&](int, int) { routes.choose(pass.kernels, choice_, rows.first, rows.last); });
}

// A unit is a group of activations of an expert that is used, for all tokens that use it. There are as many units as
// experts could be used: what is used is known to those only who compute a unit.
void Experts::widen(Pass& pass, Rows rows) const {
  const int groups = experts_.front().width() / experts_.front().down().group();
  const int units = std::min(choice_.experts, rows.count() * choice_.per_token) * groups;
  pass.crew.share(units, pass.grain(units), [&](int first, int last) {
    const std::vector<int>& used = pass.work.routes.used();
    for (int unit = first; unit < last;) {
      const std::size_t slot = unit / groups;
      if (slot >= used.size()) return;
      const int from = unit % groups;
      const int to = std::min(groups, from + last - unit);
      widen_for(pass, used[slot], from, to);
      unit += to - from;
    }
  });
}

// The groups first .. last-1 of an expert's activations, times the tokens' shares.
void Experts::widen_for(Pass& pass, int expert, int first, int last) const {
  const Mlp& mlp = experts_[expert];
  const Routes& routes = pass.work.routes;
  const Use* uses = routes.uses() + routes.begin(expert);
  const int count = routes.begin(expert + 1) - routes.begin(expert);
  const Activations in = gathered(pass.normalized(router_), uses, count);
  const Activations out = pass.work.gated.view(mlp.width(), mlp.down().group()).from(routes.begin(expert));
  mlp.widen(pass.kernels, in, count, first, last, out);
  for (int i = 0; i < count; ++i) {
    const Activations row = out.from(i);
    for (int g = first; g < last; ++g) {
      row.scales[g] *= uses[i].share;
      row.sums[g] *= uses[i].share;
    }
  }
}

// A unit is a block of rows of every used expert's `down`, added to the residual stream in the order of the experts.
void Experts::narrow(Pass& pass) const {
  const int hidden = router_.k();
  const int blocks = hidden / kLanes;
  pass.crew.share(blocks, pass.grain(blocks), [&](int first, int last) {
    const Routes& routes = pass.work.routes;
    const int width = (last - first) * kLanes;
    float* residual = pass.work.residual.data() + first * kLanes;
    for (const int expert : routes.used()) {
      const Linear& down = experts_[expert].down();
      const int begin = routes.begin(expert);
      const int count = routes.begin(expert + 1) - begin;
      const Activations in = pass.work.gated.view(down.k(), down.group()).from(begin);
      const auto at = [&](int i) {
        return residual + static_cast<std::ptrdiff_t>(routes.uses()[begin + i].token) * hidden;
      };
      float* sums = scratch(static_cast<std::size_t>(count) * width);
      for (int i = 0; i < count; ++i) std::memcpy(sums + i * width, at(i), sizeof(float) * width);
      pass.kernels.matmul_onto(down.packed(), first, last, down.bias(), in, count, sums - first * kLanes, width);
      for (int i = 0; i < count; ++i) std::memcpy(at(i), sums + i * width, sizeof(float) * width);
    }
  });
}

}  // namespace flash
