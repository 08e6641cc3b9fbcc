#include "pass.h"

namespace flash {

void Pass::normalize(Rows rows, const Norm& norm, int group, bool next) {
  own = {next && rows.count() <= kOwnTokens ? &norm : nullptr, rows, false};
  if (own.norm) return;
  const Activations out = work.normalized.front().view(static_cast<int>(norm.weight.size()), group);
  crew.share(rows.count(), grain(rows.count()), [&](int first, int last) {
    normalize({rows.first + first, rows.first + last}, norm, out);
  });
}

void Pass::normalize(Rows rows, const Norm& norm, Activations out) const {
  for (std::ptrdiff_t t = rows.first; t < rows.last; ++t)
    norm.run(kernels, work.residual.data() + t * out.k, out.from(static_cast<int>(t)));
}

Activations Pass::normalized(const Linear& linear) {
  const int place = own.norm ? crew.thread() : 0;
  const Activations found = work.normalized[place].view(linear.k(), linear.group());
  if (own.norm && !own.made) {
    normalize(own.rows, *own.norm, found);
    own.made = true;
  }
  return found;
}

void Pass::project(Rows rows, const Linear& linear, int blocks, float* out) {
  const std::ptrdiff_t stride = linear.blocks() * kLanes;
  crew.share(blocks, grain(blocks), [&](int first, int last) {
    const Activations x = normalized(linear).from(rows.first);
    kernels.matmul(linear.packed(), first, last, linear.bias(), x, rows.count(), out + rows.first * stride, stride);
  });
}

void Pass::add_project(Rows rows, const Linear& linear, ActivationBuffer& in) {
  const std::ptrdiff_t hidden = linear.rows();
  float* out = work.residual.data() + rows.first * hidden;
  const Activations x = in.view(linear.k(), linear.group()).from(rows.first);
  expect(following);
  crew.share(linear.blocks(), grain(linear.blocks()), [&](int first, int last) {
    kernels.matmul_onto(linear.packed(), first, last, linear.bias(), x, rows.count(), out, hidden);
  });
}

}  // namespace flash
