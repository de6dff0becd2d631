// Packing into panels and key/value blocks; the layouts are drawn in CMartletKernels.h.
#include "../internal.h"

void cmk_pack_panel_f32(
    const float *rows, size_t row_count, size_t stride, size_t in, float *panel) {
    for (size_t k = 0; k < in; k++)
        for (size_t lane = 0; lane < CMK_LANES; lane++)
            panel[k * CMK_LANES + lane] = lane < row_count ? rows[lane * stride + k] : 0;
}

void cmk_pack_panel_bf16(
    const float *rows, size_t row_count, size_t stride, size_t in, uint16_t *panel) {
    for (size_t k = 0; k < in; k += 2)
        for (size_t lane = 0; lane < CMK_LANES; lane++) {
            const float *pair = rows + lane * stride + k;
            uint16_t *target = panel + k * CMK_LANES + lane * 2;
            target[0] = lane < row_count ? cmk_to_bf16(pair[0]) : 0;
            target[1] = lane < row_count && k + 1 < in ? cmk_to_bf16(pair[1]) : 0;
        }
}

void cmk_unpack_row_f32(const float *panel, size_t lane, size_t in, float *y) {
    for (size_t k = 0; k < in; k++) y[k] = panel[k * CMK_LANES + lane];
}

void cmk_unpack_row_bf16(const uint16_t *panel, size_t lane, size_t in, float *y) {
    for (size_t k = 0; k < in; k++)
        y[k] = cmk_from_bf16(panel[k / 2 * 2 * CMK_LANES + lane * 2 + k % 2]);
}

void cmk_store_kv_f32(
    const float *key, const float *value, size_t head_dim, size_t slot, float *key_block,
    float *value_block) {
    for (size_t i = 0; i < head_dim; i++) {
        key_block[i * CMK_LANES + slot] = key[i];
        size_t panel = i / CMK_LANES * CMK_LANES * CMK_BLOCK_POSITIONS;
        value_block[panel + slot * CMK_LANES + i % CMK_LANES] = value[i];
    }
}

void cmk_store_kv_bf16(
    const float *key, const float *value, size_t head_dim, size_t slot, uint16_t *key_block,
    uint16_t *value_block) {
    for (size_t i = 0; i < head_dim; i++) {
        key_block[i / 2 * 2 * CMK_LANES + slot * 2 + i % 2] = cmk_to_bf16(key[i]);
        size_t panel = i / CMK_LANES * CMK_LANES * CMK_BLOCK_POSITIONS;
        uint16_t *pair = value_block + panel + slot / 2 * 2 * CMK_LANES + i % CMK_LANES * 2;
        pair[slot % 2] = cmk_to_bf16(value[i]);
        if (slot % 2 == 0) pair[1] = 0;
    }
}
