#include "dots_scalar.h"
#include "kernels.inl"
#include "attention.inl"
#include "feed_forward.inl"

#define FLASH_TABLE kScalarKernels
#define FLASH_ISA_NAME "scalar"
#define FLASH_MATMUL matmul
#define FLASH_BURST product_burst
#include "table.inl"
