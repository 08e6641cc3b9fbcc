#include "dots_neon.h"
#include "kernels.inl"
#include "attention.inl"
#include "feed_forward.inl"

#define FLASH_TABLE kNeonKernels
#define FLASH_ISA_NAME "neon"
#define FLASH_MATMUL matmul
#define FLASH_BURST product_burst
#include "table.inl"
