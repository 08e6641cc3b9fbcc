// What this machine can do at most: the measure for what the model reaches.
#pragma once

#include <cstddef>

#include "kernels.h"

namespace flash {

// Bytes a second that `threads` threads read from a buffer of `bytes`, over and over; the best of several passes.
double read_bandwidth(std::size_t bytes, int threads);

// int8 products (a multiplication and an addition) a second of `threads` threads; the best of several bursts.
double product_rate(const Kernels& kernels, int threads);

}  // namespace flash
