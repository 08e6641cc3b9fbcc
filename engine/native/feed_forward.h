// From the normalized residual stream through a wider layer and back.
#pragma once

#include <array>
#include <cstddef>

#include "laps.h"
#include "linear.h"
#include "pass.h"

namespace flash {

using WeightBytes = std::array<std::size_t, kOperationNames.size()>;

class FeedForward {
 public:
  virtual ~FeedForward() = default;

  // Throws std::invalid_argument naming what does not fit.
  virtual void check(int hidden) const = 0;
  virtual void reserve(Workspace& work) const = 0;
  virtual int group() const = 0;                          // of the activations that are read
  virtual bool reads_once() const { return true; }        // in its first stage only
  virtual void add_bytes(WeightBytes& bytes) const = 0;  // of weights that a token reads, by operation

  // Adds to the residual stream of `rows`.
  virtual void run(Pass& pass, Rows rows) const = 0;
  virtual Reading entry() const = 0;  // what run() begins with
};

// down(act(gate) * up), or down(act(up)) without a gate.
class Mlp : public FeedForward {
 public:
  // input: 16 rows of gate, 16 of up, in turn; or the rows of up where there is no gate.
  Mlp(Linear input, Linear down, Activation activation, bool gated);

  void check(int hidden) const override;
  void reserve(Workspace& work) const override { work.gated.reserve(kSliceTokens, width()); }
  int group() const override { return input_.group(); }
  void add_bytes(WeightBytes& bytes) const override;
  void run(Pass& pass, Rows rows) const override;
  Reading entry() const override { return {&input_, width() / down_.group()}; }

  int width() const { return down_.k(); }
  const Linear& down() const { return down_; }

  // The groups first .. last-1 of what `down` reads, for `tokens` rows of `in`.
  void widen(const Kernels& kernels, Activations in, int tokens, int first, int last, Activations out) const;

 private:
  Linear input_;
  Linear down_;
  Activation activation_;
  bool gated_;
};

}  // namespace flash
