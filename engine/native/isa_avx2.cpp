#include "dots_avx2.h"
#include "kernels.inl"
#include "attention.inl"
#include "feed_forward.inl"

#define FLASH_TABLE kAvx2Kernels
#define FLASH_ISA_NAME "avx2"
#define FLASH_MATMUL matmul
#define FLASH_BURST product_burst
#include "table.inl"
