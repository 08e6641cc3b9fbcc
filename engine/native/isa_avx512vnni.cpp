#include "bytes_avx512.h"
#include "dots_vnni.h"
#include "kernels.inl"
#include "attention.inl"
#include "feed_forward.inl"

#define FLASH_TABLE kAvx512VnniKernels
#define FLASH_ISA_NAME "avx512vnni"
#define FLASH_MATMUL matmul
#define FLASH_BURST product_burst
#include "table.inl"
