#include "feed_forward.h"

#include <utility>

#include "scratch.h"

namespace flash {

Mlp::Mlp(Linear input, Linear down, Activation activation, bool gated)
    : input_(std::move(input)), down_(std::move(down)), activation_(activation), gated_(gated) {}

void Mlp::check(int hidden) const {
  require_shape(input_, gated_ ? 2 * width() : width(), hidden, gated_ ? "gate and up" : "up");
  require_shape(down_, hidden, width(), "down");
}

void Mlp::add_bytes(WeightBytes& bytes) const {
  bytes[static_cast<std::size_t>(Operation::kGateUp)] += input_.bytes();
  bytes[static_cast<std::size_t>(Operation::kDown)] += down_.bytes();
}

void Mlp::run(Pass& pass, Rows rows) const {
  const Activations out = pass.work.gated.view(width(), down_.group()).from(rows.first);
  pass.expect({&down_, down_.blocks()});
  pass.crew.share(out.groups(), pass.grain(out.groups()), [&](int first, int last) {
    widen(pass.kernels, pass.normalized(input_).from(rows.first), rows.count(), first, last, out);
  });
  pass.lap(Operation::kGateUp);
  pass.add_project(rows, down_, pass.work.gated);
  pass.lap(Operation::kDown);
}

void Mlp::widen(const Kernels& kernels, Activations in, int tokens, int first, int last, Activations out) const {
  const int inputs = gated_ ? 2 : 1;
  const Activate activate = (gated_ ? kernels.gated : kernels.plain)[static_cast<int>(activation_)];
  const int begin = first * out.group;
  const int count = last * out.group - begin;
  const std::ptrdiff_t stride = inputs * count;
  float* values = scratch(tokens * stride) - inputs * begin;
  kernels.matmul(input_.packed(), inputs * begin / kLanes, inputs * (begin + count) / kLanes, input_.bias(), in, tokens,
                 values, stride);
  for (int t = 0; t < tokens; ++t) activate(values + t * stride, begin, count, out.from(t));
}

}  // namespace flash
