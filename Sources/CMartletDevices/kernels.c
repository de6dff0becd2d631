// Made by scripts/make_kernels.py: the compiled kernels. Do not edit.
#include "include/CMartletDevices.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

_Alignas(4) static const unsigned char position_f32[] = {
#embed "spirv/position.f32.spv"
};
static const char position_f32_ptx[] = {
#embed "ptx/position.f32.ptx" suffix(, 0)
};
_Alignas(4) static const unsigned char position_bf16[] = {
#embed "spirv/position.bf16.spv"
};
static const char position_bf16_ptx[] = {
#embed "ptx/position.bf16.ptx" suffix(, 0)
};
_Alignas(4) static const unsigned char attend_f32[] = {
#embed "spirv/attend.f32.spv"
};
static const char attend_f32_ptx[] = {
#embed "ptx/attend.f32.ptx" suffix(, 0)
};
_Alignas(4) static const unsigned char attend_bf16[] = {
#embed "spirv/attend.bf16.spv"
};
static const char attend_bf16_ptx[] = {
#embed "ptx/attend.bf16.ptx" suffix(, 0)
};
_Alignas(4) static const unsigned char low_rank_shrink_f32[] = {
#embed "spirv/low_rank_shrink.f32.spv"
};
static const char low_rank_shrink_f32_ptx[] = {
#embed "ptx/low_rank_shrink.f32.ptx" suffix(, 0)
};
_Alignas(4) static const unsigned char low_rank_shrink_bf16[] = {
#embed "spirv/low_rank_shrink.bf16.spv"
};
static const char low_rank_shrink_bf16_ptx[] = {
#embed "ptx/low_rank_shrink.bf16.ptx" suffix(, 0)
};
_Alignas(4) static const unsigned char low_rank_expand_f32[] = {
#embed "spirv/low_rank_expand.f32.spv"
};
static const char low_rank_expand_f32_ptx[] = {
#embed "ptx/low_rank_expand.f32.ptx" suffix(, 0)
};
_Alignas(4) static const unsigned char low_rank_expand_bf16[] = {
#embed "spirv/low_rank_expand.bf16.spv"
};
static const char low_rank_expand_bf16_ptx[] = {
#embed "ptx/low_rank_expand.bf16.ptx" suffix(, 0)
};
_Alignas(4) static const unsigned char product_f32[] = {
#embed "spirv/product.f32.spv"
};
static const char product_f32_ptx[] = {
#embed "ptx/product.f32.ptx" suffix(, 0)
};
_Alignas(4) static const unsigned char product_bf16[] = {
#embed "spirv/product.bf16.spv"
};
static const char product_bf16_ptx[] = {
#embed "ptx/product.bf16.ptx" suffix(, 0)
};
_Alignas(4) static const unsigned char embed_f32[] = {
#embed "spirv/embed.f32.spv"
};
static const char embed_f32_ptx[] = {
#embed "ptx/embed.f32.ptx" suffix(, 0)
};
_Alignas(4) static const unsigned char embed_bf16[] = {
#embed "spirv/embed.bf16.spv"
};
static const char embed_bf16_ptx[] = {
#embed "ptx/embed.bf16.ptx" suffix(, 0)
};
_Alignas(4) static const unsigned char change_embedding_any[] = {
#embed "spirv/change_embedding.any.spv"
};
static const char change_embedding_any_ptx[] = {
#embed "ptx/change_embedding.any.ptx" suffix(, 0)
};
_Alignas(4) static const unsigned char rms_norm_f32[] = {
#embed "spirv/rms_norm.f32.spv"
};
static const char rms_norm_f32_ptx[] = {
#embed "ptx/rms_norm.f32.ptx" suffix(, 0)
};
_Alignas(4) static const unsigned char rms_norm_bf16[] = {
#embed "spirv/rms_norm.bf16.spv"
};
static const char rms_norm_bf16_ptx[] = {
#embed "ptx/rms_norm.bf16.ptx" suffix(, 0)
};
_Alignas(4) static const unsigned char gated_f32[] = {
#embed "spirv/gated.f32.spv"
};
static const char gated_f32_ptx[] = {
#embed "ptx/gated.f32.ptx" suffix(, 0)
};
_Alignas(4) static const unsigned char gated_bf16[] = {
#embed "spirv/gated.bf16.spv"
};
static const char gated_bf16_ptx[] = {
#embed "ptx/gated.bf16.ptx" suffix(, 0)
};
_Alignas(4) static const unsigned char add_any[] = {
#embed "spirv/add.any.spv"
};
static const char add_any_ptx[] = {
#embed "ptx/add.any.ptx" suffix(, 0)
};
_Alignas(4) static const unsigned char gather_any[] = {
#embed "spirv/gather.any.spv"
};
static const char gather_any_ptx[] = {
#embed "ptx/gather.any.ptx" suffix(, 0)
};
_Alignas(4) static const unsigned char scatter_any[] = {
#embed "spirv/scatter.any.spv"
};
static const char scatter_any_ptx[] = {
#embed "ptx/scatter.any.ptx" suffix(, 0)
};
_Alignas(4) static const unsigned char find_peaks_any[] = {
#embed "spirv/find_peaks.any.spv"
};
static const char find_peaks_any_ptx[] = {
#embed "ptx/find_peaks.any.ptx" suffix(, 0)
};
_Alignas(4) static const unsigned char weigh_any[] = {
#embed "spirv/weigh.any.spv"
};
static const char weigh_any_ptx[] = {
#embed "ptx/weigh.any.ptx" suffix(, 0)
};
_Alignas(4) static const unsigned char product_tile_shared_any[] = {
#embed "spirv/product_tile_shared.any.spv"
};
static const char product_tile_shared_any_ptx[] = {
#embed "ptx/product_tile_shared.any.ptx" suffix(, 0)
};
_Alignas(4) static const unsigned char product_tile_half_any[] = {
#embed "spirv/product_tile_half.any.spv"
};
_Alignas(4) static const unsigned char product_tile_bf16_any[] = {
#embed "spirv/product_tile_bf16.any.spv"
};
static const char product_tile_bf16_any_ptx[] = {
#embed "ptx/product_tile_bf16.any.ptx" suffix(, 0)
};

const cmd_code cmd_kernels[CMD_KERNEL_COUNT][2] = {
    {{position_f32, sizeof position_f32, position_f32_ptx, "position", 64},
     {position_bf16, sizeof position_bf16, position_bf16_ptx, "position", 64}},
    {{attend_f32, sizeof attend_f32, attend_f32_ptx, "attend", 64},
     {attend_bf16, sizeof attend_bf16, attend_bf16_ptx, "attend", 64}},
    {{low_rank_shrink_f32, sizeof low_rank_shrink_f32, low_rank_shrink_f32_ptx, "low_rank_shrink", 64},
     {low_rank_shrink_bf16, sizeof low_rank_shrink_bf16, low_rank_shrink_bf16_ptx, "low_rank_shrink", 64}},
    {{low_rank_expand_f32, sizeof low_rank_expand_f32, low_rank_expand_f32_ptx, "low_rank_expand", 64},
     {low_rank_expand_bf16, sizeof low_rank_expand_bf16, low_rank_expand_bf16_ptx, "low_rank_expand", 64}},
    {{product_f32, sizeof product_f32, product_f32_ptx, "product", 64},
     {product_bf16, sizeof product_bf16, product_bf16_ptx, "product", 64}},
    {{embed_f32, sizeof embed_f32, embed_f32_ptx, "embed", 64},
     {embed_bf16, sizeof embed_bf16, embed_bf16_ptx, "embed", 64}},
    {{change_embedding_any, sizeof change_embedding_any, change_embedding_any_ptx, "change_embedding", 64},
     {change_embedding_any, sizeof change_embedding_any, change_embedding_any_ptx, "change_embedding", 64}},
    {{rms_norm_f32, sizeof rms_norm_f32, rms_norm_f32_ptx, "rms_norm", 64},
     {rms_norm_bf16, sizeof rms_norm_bf16, rms_norm_bf16_ptx, "rms_norm", 64}},
    {{gated_f32, sizeof gated_f32, gated_f32_ptx, "gated", 64},
     {gated_bf16, sizeof gated_bf16, gated_bf16_ptx, "gated", 64}},
    {{add_any, sizeof add_any, add_any_ptx, "add", 64},
     {add_any, sizeof add_any, add_any_ptx, "add", 64}},
    {{gather_any, sizeof gather_any, gather_any_ptx, "gather", 64},
     {gather_any, sizeof gather_any, gather_any_ptx, "gather", 64}},
    {{scatter_any, sizeof scatter_any, scatter_any_ptx, "scatter", 64},
     {scatter_any, sizeof scatter_any, scatter_any_ptx, "scatter", 64}},
    {{find_peaks_any, sizeof find_peaks_any, find_peaks_any_ptx, "find_peaks", 64},
     {find_peaks_any, sizeof find_peaks_any, find_peaks_any_ptx, "find_peaks", 64}},
    {{weigh_any, sizeof weigh_any, weigh_any_ptx, "weigh", 64},
     {weigh_any, sizeof weigh_any, weigh_any_ptx, "weigh", 64}},
    {{product_tile_shared_any, sizeof product_tile_shared_any, product_tile_shared_any_ptx, "product_tile", 128},
     {product_tile_shared_any, sizeof product_tile_shared_any, product_tile_shared_any_ptx, "product_tile", 128}},
    {{product_tile_half_any, sizeof product_tile_half_any, NULL, "product_tile", 128},
     {product_tile_half_any, sizeof product_tile_half_any, NULL, "product_tile", 128}},
    {{product_tile_bf16_any, sizeof product_tile_bf16_any, product_tile_bf16_any_ptx, "product_tile", 128},
     {product_tile_bf16_any, sizeof product_tile_bf16_any, product_tile_bf16_any_ptx, "product_tile", 128}},
};
