// What the layers share while some consecutive tokens go through them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cache.h"
#include "kernels.h"
#include "laps.h"
#include "linear.h"
#include "norm.h"
#include "pool.h"
#include "workspace.h"

namespace flash {

// Cosines and sines of the rotary embedding, [positions][key_dim / 2].
struct RopeTable {
  std::vector<float> cosines;
  std::vector<float> sines;
};

// Some consecutive tokens, computed together.
struct Slice {
  const std::int32_t* tokens;
  int count;
  int start;   // position of the first
  int wanted;  // logits of the last so many
  int ids;     // for the first so many ids
  KvCache& cache;
  Laps* laps;

  int blocks() const { return (start + count + kAttentionBlock - 1) / kAttentionBlock; }
};

// Tokens first .. last-1 of a slice.
struct Rows {
  int first;
  int last;
  int count() const { return last - first; }
};

// Weights that a stage of `units` reads.
struct Reading {
  const Linear* linear;
  int units;
};

// One thread's way through a slice. Every thread of the crew goes through the same stages in the same order.
struct Pass {
  Crew& crew;
  const Slice& slice;
  const Kernels& kernels;
  const AttentionShape& shape;
  const RopeTable& rope;
  Workspace& work;

  // The normalization of activations that each thread makes for itself; without a norm, they are made for all.
  struct Own {
    const Norm* norm = nullptr;
    Rows rows{0, 0};
    bool made = false;
  };
  Own own{};
  Reading following{};  // what is read after the next add_project()

  void lap(Operation operation) const {
    if (slice.laps) slice.laps->lap(operation);
  }

  // Units of work for one turn of a thread: several turns each, so that none waits long for another at the end.
  int grain(int units) const { return std::max(1, units / (kTurns * crew.threads())); }

  // These weights are read next: each thread begins to fetch its part at the end of the stage before.
  void expect(Reading next) const {
    const std::size_t unit = next.linear->bytes() / next.units;
    const std::size_t first = crew.first_unit(next.units);
    crew.fetch_ahead(next.linear->packed().data + unit * first, next.linear->bytes() - unit * first);
  }

  // Normalizes the residual stream into activations in groups of `group`. If only the `next` stage reads them, each
  // thread makes those of few tokens for itself, as it begins: that takes less time than handing them over.
  void normalize(Rows rows, const Norm& norm, int group, bool next);
  // What normalize() made, by token, in groups as `linear` reads them; for units of a stage.
  Activations normalized(const Linear& linear);
  // out = bias + matrix * normalized of the first `blocks` of rows, [tokens][blocks of the matrix * 16].
  void project(Rows rows, const Linear& linear, int blocks, float* out);
  // The residual stream += bias + matrix * in.
  void add_project(Rows rows, const Linear& linear, ActivationBuffer& in);

 private:
  static constexpr int kTurns = 5;
  static constexpr int kOwnTokens = 16;

  void normalize(Rows rows, const Norm& norm, Activations out) const;
};

}  // namespace flash
