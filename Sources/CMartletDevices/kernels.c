// Made by scripts/make_kernels.py: the compiled kernels. Do not edit.
#include "include/CMartletDevices.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

_Alignas(4) static const unsigned char position_f32[] = {
#embed "spirv/position.f32.spv"
};
_Alignas(4) static const unsigned char position_bf16[] = {
#embed "spirv/position.bf16.spv"
};
_Alignas(4) static const unsigned char attend_f32[] = {
#embed "spirv/attend.f32.spv"
};
_Alignas(4) static const unsigned char attend_bf16[] = {
#embed "spirv/attend.bf16.spv"
};
_Alignas(4) static const unsigned char low_rank_shrink_f32[] = {
#embed "spirv/low_rank_shrink.f32.spv"
};
_Alignas(4) static const unsigned char low_rank_shrink_bf16[] = {
#embed "spirv/low_rank_shrink.bf16.spv"
};
_Alignas(4) static const unsigned char low_rank_expand_f32[] = {
#embed "spirv/low_rank_expand.f32.spv"
};
_Alignas(4) static const unsigned char low_rank_expand_bf16[] = {
#embed "spirv/low_rank_expand.bf16.spv"
};
_Alignas(4) static const unsigned char product_f32[] = {
#embed "spirv/product.f32.spv"
};
_Alignas(4) static const unsigned char product_bf16[] = {
#embed "spirv/product.bf16.spv"
};
_Alignas(4) static const unsigned char embed_f32[] = {
#embed "spirv/embed.f32.spv"
};
_Alignas(4) static const unsigned char embed_bf16[] = {
#embed "spirv/embed.bf16.spv"
};
_Alignas(4) static const unsigned char change_embedding_any[] = {
#embed "spirv/change_embedding.any.spv"
};
_Alignas(4) static const unsigned char norm_f32[] = {
#embed "spirv/norm.f32.spv"
};
_Alignas(4) static const unsigned char norm_bf16[] = {
#embed "spirv/norm.bf16.spv"
};
_Alignas(4) static const unsigned char gated_f32[] = {
#embed "spirv/gated.f32.spv"
};
_Alignas(4) static const unsigned char gated_bf16[] = {
#embed "spirv/gated.bf16.spv"
};
_Alignas(4) static const unsigned char add_any[] = {
#embed "spirv/add.any.spv"
};
_Alignas(4) static const unsigned char gather_any[] = {
#embed "spirv/gather.any.spv"
};
_Alignas(4) static const unsigned char scatter_any[] = {
#embed "spirv/scatter.any.spv"
};
_Alignas(4) static const unsigned char find_peaks_any[] = {
#embed "spirv/find_peaks.any.spv"
};
_Alignas(4) static const unsigned char product_tile_shared_any[] = {
#embed "spirv/product_tile_shared.any.spv"
};
_Alignas(4) static const unsigned char product_tile_half_any[] = {
#embed "spirv/product_tile_half.any.spv"
};
_Alignas(4) static const unsigned char product_tile_bf16_any[] = {
#embed "spirv/product_tile_bf16.any.spv"
};

const cmd_code cmd_kernels[CMD_KERNEL_COUNT][2] = {
    {{"position", position_f32, sizeof position_f32}, {"position", position_bf16, sizeof position_bf16}},
    {{"attend", attend_f32, sizeof attend_f32}, {"attend", attend_bf16, sizeof attend_bf16}},
    {{"low_rank_shrink", low_rank_shrink_f32, sizeof low_rank_shrink_f32}, {"low_rank_shrink", low_rank_shrink_bf16, sizeof low_rank_shrink_bf16}},
    {{"low_rank_expand", low_rank_expand_f32, sizeof low_rank_expand_f32}, {"low_rank_expand", low_rank_expand_bf16, sizeof low_rank_expand_bf16}},
    {{"product", product_f32, sizeof product_f32}, {"product", product_bf16, sizeof product_bf16}},
    {{"embed", embed_f32, sizeof embed_f32}, {"embed", embed_bf16, sizeof embed_bf16}},
    {{"change_embedding", change_embedding_any, sizeof change_embedding_any}, {"change_embedding", change_embedding_any, sizeof change_embedding_any}},
    {{"norm", norm_f32, sizeof norm_f32}, {"norm", norm_bf16, sizeof norm_bf16}},
    {{"gated", gated_f32, sizeof gated_f32}, {"gated", gated_bf16, sizeof gated_bf16}},
    {{"add", add_any, sizeof add_any}, {"add", add_any, sizeof add_any}},
    {{"gather", gather_any, sizeof gather_any}, {"gather", gather_any, sizeof gather_any}},
    {{"scatter", scatter_any, sizeof scatter_any}, {"scatter", scatter_any, sizeof scatter_any}},
    {{"find_peaks", find_peaks_any, sizeof find_peaks_any}, {"find_peaks", find_peaks_any, sizeof find_peaks_any}},
    {{"product_tile_shared", product_tile_shared_any, sizeof product_tile_shared_any}, {"product_tile_shared", product_tile_shared_any, sizeof product_tile_shared_any}},
    {{"product_tile_half", product_tile_half_any, sizeof product_tile_half_any}, {"product_tile_half", product_tile_half_any, sizeof product_tile_half_any}},
    {{"product_tile_bf16", product_tile_bf16_any, sizeof product_tile_bf16_any}, {"product_tile_bf16", product_tile_bf16_any, sizeof product_tile_bf16_any}},
};
