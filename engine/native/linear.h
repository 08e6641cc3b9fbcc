// A matrix and what is added to its products.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "matrix.h"

namespace flash {

class Linear {
 public:
  // bias: [rows of the matrix], or empty for none. Throws std::invalid_argument for another length.
  explicit Linear(std::shared_ptr<const Matrix> matrix, std::vector<float> bias = {})
      : matrix_(std::move(matrix)), bias_(std::move(bias)) {
    if (!bias_.empty() && static_cast<int>(bias_.size()) != matrix_->rows())
      throw std::invalid_argument("a bias has " + std::to_string(bias_.size()) + " values for a matrix of " +
                                  std::to_string(matrix_->rows()) + " rows");
    const std::size_t size = static_cast<std::size_t>(matrix_->blocks()) * kLanes;
    if (bias_.empty())
      zeros_ = zeros(size);
    else
      bias_.resize(size);
  }

  int rows() const { return matrix_->rows(); }
  int k() const { return matrix_->k(); }
  int group() const { return matrix_->group(); }
  int blocks() const { return matrix_->blocks(); }
  std::size_t bytes() const { return matrix_->bytes(); }
  const PackedMatrix& packed() const { return matrix_->packed(); }
  const Matrix& matrix() const { return *matrix_; }
  const float* bias() const { return bias_.empty() ? zeros_ : bias_.data(); }  // [blocks * 16]

 private:
  // `size` of them, the same ones for all matrices.
  static const float* zeros(std::size_t size);

  std::shared_ptr<const Matrix> matrix_;
  std::vector<float> bias_;
  const float* zeros_ = nullptr;
};

// Throws std::invalid_argument naming `name` if the matrix is not [rows, k].
inline void require_shape(const Linear& linear, int rows, int k, const std::string& name) {
  if (linear.rows() == rows && linear.k() == k) return;
  throw std::invalid_argument(name + " is [" + std::to_string(linear.rows()) + ", " + std::to_string(linear.k()) +
                              "], not [" + std::to_string(rows) + ", " + std::to_string(k) + "]");
}

}  // namespace flash
