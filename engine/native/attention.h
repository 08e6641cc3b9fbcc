// Attention over the cache (kernels.h), and its way back into the residual stream.
#pragma once

#include "linear.h"
#include "pass.h"

namespace flash {

class Attention {
 public:
  // window: positions that a token reads, its own included.
  Attention(Linear output, int window) : output_(std::move(output)), window_(window) {}

  // Throws std::invalid_argument naming what does not fit.
  void check(const AttentionShape& shape, int hidden) const;
  std::size_t bytes() const { return output_.bytes(); }

  // Each thread fetches the first keys and values that it reads at the end of the stage before run().
  void expect(Pass& pass, int layer, Rows rows) const;

  // The residual stream of `rows` += output of their queries' attention to the cache of `layer`.
  void run(Pass& pass, int layer, Rows rows) const;

 private:
  // How a pass is dealt out: KV head by KV head, block by block, by runs of tokens.
  struct Units {
    int begin;   // first block
    int blocks;
    int runs;    // of tokens
    int count;

    int block(int unit) const { return begin + unit / runs % blocks; }
    int head(int unit) const { return unit / runs / blocks; }
  };
  Units units(const Pass& pass, Rows rows) const;
  static Upcoming reading(const Pass& pass, int layer, const Units& units, int unit);
  void attend(Pass& pass, int layer, Rows rows) const;
  void combine_span(Pass& pass, int token, int from, int span) const;
  int first_block(int position) const { return std::max(0, position + 1 - window_) / kAttentionBlock; }

  Linear output_;
  int window_;
};

}  // namespace flash
