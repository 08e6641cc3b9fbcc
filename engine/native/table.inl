// Ends a file that compiles kernels.inl, attention.inl and feed_forward.inl for one instruction set: FLASH_TABLE is its
// table, FLASH_MATMUL and FLASH_BURST its matmul and product_burst.
namespace flash {

const Kernels FLASH_TABLE = {
    FLASH_ISA_NAME,
    ::rms_norm,
    ::layer_norm,
    ::quantize,
    {::plain<::silu>, ::plain<::gelu>, ::plain<::gelu_tanh>},
    {::gated<::silu>, ::gated<::gelu>, ::gated<::gelu_tanh>},
    ::FLASH_MATMUL<::Fresh>,
    ::FLASH_MATMUL<::Onto>,
    ::norm_head,
    ::store_query,
    ::store_key,
    ::store_value,
    ::attend,
    ::combine,
    ::softmax,
    ::dequantize_row,
    ::log_sum_exp,
    ::FLASH_BURST,
};

}  // namespace flash
