// Queries for products of bytes: as they are.
#pragma once

#include <cstdint>
#include <cstring>

namespace {

using QueryValue = std::int8_t;

inline void arrange_query(const std::int8_t* quants, int dim, QueryValue* out) { std::memcpy(out, quants, dim); }

}  // namespace
