// A feed-forward layer of which each token uses a few parts (mixture of experts; Shazeer et al. 2017).
#pragma once

#include <memory>
#include <vector>

#include "feed_forward.h"
#include "router.h"

namespace flash {

class Experts : public FeedForward {
 public:
  // router: one row an expert. shared: what every token uses besides, or null.
  // Throws std::invalid_argument if experts differ in shape, or matrices that read the same activations in groups.
  Experts(Linear router, std::vector<Mlp> experts, std::shared_ptr<const Mlp> shared, Choice choice);

  void check(int hidden) const override;
  void reserve(Workspace& work) const override;
  int group() const override { return router_.group(); }
  bool reads_once() const override { return false; }
  void add_bytes(WeightBytes& bytes) const override;
  void run(Pass& pass, Rows rows) const override;
  Reading entry() const override { return shared_ ? shared_->entry() : Reading{&router_, router_.blocks()}; }

 private:
  void route(Pass& pass, Rows rows) const;
  void widen(Pass& pass, Rows rows) const;
  void widen_for(Pass& pass, int expert, int first, int last) const;
  void narrow(Pass& pass) const;

  Linear router_;
  std::vector<Mlp> experts_;
  std::shared_ptr<const Mlp> shared_;
  Choice choice_;
};

}  // namespace flash
