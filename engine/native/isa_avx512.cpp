#include "dots_avx512bw.h"
#include "kernels.inl"
#include "attention.inl"
#include "feed_forward.inl"

#define FLASH_TABLE kAvx512Kernels
#define FLASH_ISA_NAME "avx512"
#define FLASH_MATMUL matmul
#define FLASH_BURST product_burst
#include "table.inl"
