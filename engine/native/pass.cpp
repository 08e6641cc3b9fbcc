#include "pass.h"

namespace flash {

void Pass::normalize(Rows rows, const Norm& norm, int group) {
  const int hidden = static_cast<int>(norm.weight.size());
  const Activations out = work.normalized.view(hidden, group);
  crew.share(rows.count(), grain(rows.count()), [&](int first, int last) {
    for (int t = rows.first + first; t < rows.first + last; ++t)
      norm.run(kernels, work.residual.data() + static_cast<std::ptrdiff_t>(t) * hidden, out.from(t));
  });
}

void Pass::project(Rows rows, const Linear& linear, int blocks, ActivationBuffer& in, float* out) {
  const std::ptrdiff_t stride = linear.blocks() * kLanes;
  const Activations x = in.view(linear.k(), linear.group()).from(rows.first);
  crew.share(blocks, grain(blocks), [&](int first, int last) {
    kernels.matmul(linear.packed(), first, last, linear.bias(), x, rows.count(), out + rows.first * stride, stride);
  });
}

void Pass::add_project(Rows rows, const Linear& linear, ActivationBuffer& in) {
  const std::ptrdiff_t hidden = linear.rows();
  float* out = work.residual.data() + rows.first * hidden;
  const Activations x = in.view(linear.k(), linear.group()).from(rows.first);
  crew.share(linear.blocks(), grain(linear.blocks()), [&](int first, int last) {
    kernels.matmul_onto(linear.packed(), first, last, linear.bias(), x, rows.count(), out, hidden);
  });
}

}  // namespace flash
