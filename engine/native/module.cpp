// Python bindings: flash_engine._native.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <atomic>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "choose.h"
#include "cpu.h"
#include "experts.h"
#include "latent_heads.h"
#include "limits.h"
#include "model.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace flash {
namespace {

template <class T, int Dimensions>
using Array = nb::ndarray<const T, nb::ndim<Dimensions>, nb::c_contig, nb::device::cpu>;

void require_room(const Matrix& matrix, int block, int step, std::size_t rows) {
  if (block < 0 || step < 1 ||
      block + (static_cast<int>(rows) + kLanes - 1) / kLanes * step - (step - 1) > matrix.blocks())
    throw std::invalid_argument("more rows than the matrix has");
}

void fill(Matrix& matrix, int block, int step, Array<std::uint32_t, 2> weight, Array<std::uint16_t, 2> scales,
          Array<std::uint16_t, 2> biases) {
  const std::size_t rows = weight.shape(0);
  const std::size_t groups = matrix.k() / matrix.group();
  if (matrix.bits() == 16 || weight.shape(1) != static_cast<std::size_t>(matrix.k()) * matrix.bits() / 32 ||
      scales.shape(0) != rows || biases.shape(0) != rows || scales.shape(1) != groups || biases.shape(1) != groups)
    throw std::invalid_argument("weight, scales and biases do not fit the matrix");
  require_room(matrix, block, step, rows);
  matrix.fill(block, step, static_cast<int>(rows), weight.data(), scales.data(), biases.data());
}

void fill_halves(Matrix& matrix, int block, int step, Array<std::uint16_t, 2> values) {
  if (matrix.bits() != 16 || values.shape(1) != static_cast<std::size_t>(matrix.k()))
    throw std::invalid_argument("the values do not fit the matrix");
  require_room(matrix, block, step, values.shape(0));
  matrix.fill_halves(block, step, static_cast<int>(values.shape(0)), values.data());
}

class Flag {
 public:
  void set() { value_.store(true, std::memory_order_relaxed); }
  const std::atomic<bool>* value() const { return &value_; }

 private:
  std::atomic<bool> value_{false};
};

using LogitsArray = nb::ndarray<nb::numpy, float, nb::ndim<2>>;

std::optional<LogitsArray> forward(Model& model, const std::vector<std::int32_t>& tokens, KvCache& cache, int wanted,
                                   const Flag* cancel, Laps* laps) {
  const std::int64_t stride = model.logits_stride();
  auto* data = new float[static_cast<std::size_t>(wanted > 0 ? wanted : 1) * stride];
  const nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<float*>(p); });
  bool complete = false;
  {
    const nb::gil_scoped_release released;
    complete = model.forward(tokens, cache, wanted, data, cancel ? cancel->value() : nullptr, laps);
  }
  if (!complete) return std::nullopt;
  const std::size_t shape[2] = {static_cast<std::size_t>(wanted), static_cast<std::size_t>(model.vocabulary())};
  const std::int64_t strides[2] = {stride, 1};
  return LogitsArray(data, 2, shape, owner, strides);
}

using Chosen = std::optional<std::vector<std::pair<int, float>>>;

Chosen choose_tokens(Model& model, const std::vector<std::int32_t>& tokens, KvCache& cache, int choices, int vocabulary,
                     const Flag* cancel) {
  const nb::gil_scoped_release released;
  return choose(model, tokens, cache, choices, vocabulary, cancel ? cancel->value() : nullptr);
}

template <class T>
std::map<std::string, T> by_operation(const std::array<T, kOperationNames.size()>& values) {
  std::map<std::string, T> named;
  for (std::size_t i = 0; i < values.size(); ++i) named[kOperationNames[i]] = values[i];
  return named;
}

std::pair<int, float> best_of(Array<float, 1> logits, std::optional<Array<std::int32_t, 1>> allowed) {
  if (!allowed) return argmax_logprob(logits.data(), logits.shape(0));
  const std::size_t size = allowed->shape(0);
  std::vector<float> chosen(size);
  for (std::size_t i = 0; i < size; ++i) {
    const std::int32_t id = allowed->data()[i];
    if (id < 0 || static_cast<std::size_t>(id) >= logits.shape(0))
      throw std::invalid_argument("token " + std::to_string(id) + " is outside the logits");
    chosen[i] = logits.data()[id];
  }
  const auto [best, logprob] = argmax_logprob(chosen.data(), size);
  return {allowed->data()[best], logprob};
}

}  // namespace

NB_MODULE(_native, m) {
  m.doc() = "The engine for CPUs: see flash_engine.backends.native.";
  m.attr("bindings") = FLASH_BINDINGS;  // SHA-256 of this file
  nb::set_leak_warnings(false);  // a model that lives until the process ends is no mistake

  m.def("supported_isas", &supported_isas);
  m.def("argmax_logprob", &best_of, "logits"_a, "allowed"_a.none() = nb::none(),
        "The most likely id (the first of equals) of float32 logits [n], or of the int32 ids `allowed`, and its "
        "log-probability among them.");

  m.def("read_bandwidth", &read_bandwidth, "bytes"_a, "threads"_a, nb::call_guard<nb::gil_scoped_release>(),
        "Bytes a second that `threads` threads read from a buffer of `bytes`.");
  m.def(
      "product_rate", [](const std::string& isa, int threads) { return product_rate(kernels_for(isa), threads); },
      "isa"_a, "threads"_a, nb::call_guard<nb::gil_scoped_release>(),
      "int8 products a second of `threads` threads with the instructions of `isa`.");

  nb::class_<Flag>(m, "Flag").def(nb::init<>()).def("set", &Flag::set);

  nb::class_<Laps>(m, "Laps").def(nb::init<>()).def_prop_ro("seconds", [](const Laps& laps) {
    return by_operation(laps.seconds());
  });

  nb::class_<Arena>(m, "Arena").def(nb::init<>());

  nb::class_<Matrix>(m, "Matrix")
      .def(nb::init<int, int, int, int, Arena&>(), "rows"_a, "k"_a, "bits"_a, "group"_a, "arena"_a)
      .def("fill", &fill, "block"_a, "step"_a, "weight"_a, "scales"_a, "biases"_a)
      .def("fill_halves", &fill_halves, "block"_a, "step"_a, "values"_a)
      .def_prop_ro("bytes", &Matrix::bytes);

  nb::class_<KvCache>(m, "KVCache")
      .def_prop_ro("length", &KvCache::length)
      .def_prop_ro("bytes", &KvCache::bytes)
      .def("trim", &KvCache::trim, "length"_a)
      .def("fork", &KvCache::fork)
      .def("save",
           [](const KvCache& cache) {
             const std::string data = cache.save();
             return nb::bytes(data.data(), data.size());
           })
      .def(
          "restore",
          [](KvCache& cache, const nb::bytes& data, int length) { cache.restore(data.c_str(), data.size(), length); },
          "data"_a, "length"_a);

  nb::class_<AttentionShape>(m, "AttentionShape")
      .def(nb::init<int, int, int, int>(), "heads"_a, "kv_heads"_a, "key_dim"_a, "value_dim"_a);

  nb::class_<Linear>(m, "Linear")
      .def(nb::init<std::shared_ptr<const Matrix>, std::vector<float>>(), "matrix"_a, "bias"_a);

  nb::class_<Norm>(m, "Norm")
      .def(nb::init<std::vector<float>, std::vector<float>, float>(), "weight"_a, "bias"_a, "epsilon"_a);

  nb::class_<HeadProjection>(m, "HeadProjection");
  nb::class_<JoinedHeads, HeadProjection>(m, "JoinedHeads")
      .def(nb::init<Linear, Norm, Norm>(), nb::kw_only(), "qkv"_a, "query_norm"_a, "key_norm"_a);
  nb::class_<LatentHeads, HeadProjection>(m, "LatentHeads")
      .def(nb::init<Linear, Norm, std::optional<Linear>, Norm, Linear, int>(), nb::kw_only(), "down"_a, "query_norm"_a,
           "query_up"_a.none(), "kv_norm"_a, "kv_up"_a, "rope_dim"_a);

  nb::class_<Attention>(m, "Attention").def(nb::init<Linear, int>(), "output"_a, "window"_a);

  nb::enum_<Activation>(m, "Activation")
      .value("silu", Activation::kSilu)
      .value("gelu", Activation::kGelu)
      .value("gelu_tanh", Activation::kGeluTanh);
  nb::class_<FeedForward>(m, "FeedForward");
  nb::class_<Mlp, FeedForward>(m, "Mlp")
      .def(nb::init<Linear, Linear, Activation, bool>(), nb::kw_only(), "input"_a, "down"_a, "activation"_a, "gated"_a);

  nb::class_<Choice>(m, "Choice")
      .def(nb::init<int, int, int, int, bool, float>(), nb::kw_only(), "experts"_a, "per_token"_a, "groups"_a,
           "groups_per_token"_a, "normalize"_a, "scale"_a);
  nb::class_<Experts, FeedForward>(m, "Experts")
      .def(nb::init<Linear, std::vector<Mlp>, std::shared_ptr<const Mlp>, Choice>(), nb::kw_only(), "router"_a,
           "experts"_a, "shared"_a.none(), "choice"_a);

  nb::class_<Layer>(m, "Layer")
      .def(nb::init<Norm, std::shared_ptr<const HeadProjection>, Attention, Norm, std::shared_ptr<const FeedForward>>(),
           nb::kw_only(), "attention_norm"_a, "heads"_a, "attention"_a, "feed_forward_norm"_a, "feed_forward"_a);

  nb::class_<RopeTable>(m, "RopeTable")
      .def(nb::init<std::vector<float>, std::vector<float>>(), "cosines"_a, "sines"_a);

  nb::class_<Model>(m, "Model")
      .def(
          "__init__",
          [](Model* self, const AttentionShape& shape, std::shared_ptr<const Matrix> embedding, float embedding_scale,
             std::vector<Layer> layers, Norm norm, Linear head, RopeTable rope, const std::string& isa, int threads) {
            Weights weights{std::move(embedding), embedding_scale, std::move(layers),
                            std::move(norm),      std::move(head), std::move(rope)};
            new (self) Model(shape, std::move(weights), kernels_for(isa), threads);
          },
          nb::kw_only(), "shape"_a, "embedding"_a, "embedding_scale"_a, "layers"_a, "norm"_a, "head"_a, "rope"_a,
          "isa"_a, "threads"_a)
      .def_prop_ro("isa", &Model::isa)
      .def_prop_ro("threads", &Model::threads)
      .def_prop_ro("capacity", &Model::capacity)
      .def_prop_ro("weight_bytes", [](const Model& model) { return by_operation(model.weight_bytes()); })
      .def("new_cache", [](const Model& model) { return std::make_unique<KvCache>(model.new_cache()); })
      .def("forward", &forward, "tokens"_a, "cache"_a, "wanted"_a, "cancel"_a.none() = nb::none(),
           "laps"_a.none() = nb::none())
      .def("choose", &choose_tokens, "tokens"_a, "cache"_a, "choices"_a, "vocabulary"_a,
           "cancel"_a.none() = nb::none());
}

}  // namespace flash
