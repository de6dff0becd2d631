// What has one version for all processors must compute the same on each.
#include "harness.h"

static const struct {
    cmk_source source;
    size_t length, bytes;
} formats[] = {
    {CMK_SOURCE_F32, 1, 4},     {CMK_SOURCE_F16, 1, 2},     {CMK_SOURCE_BF16, 1, 2},
    {CMK_SOURCE_Q8_0, 32, 34},  {CMK_SOURCE_Q4_0, 32, 18},  {CMK_SOURCE_Q4_1, 32, 20},
    {CMK_SOURCE_Q5_0, 32, 22},  {CMK_SOURCE_Q5_1, 32, 24},  {CMK_SOURCE_Q4_K, 256, 144},
    {CMK_SOURCE_Q5_K, 256, 176}, {CMK_SOURCE_Q6_K, 256, 210},
};

static void note_decoding(void) {
    enum { BLOCKS = 64 };
    for (size_t i = 0; i < COUNT(formats); i++) {
        begin_case("source %d", formats[i].source);
        size_t count = BLOCKS * formats[i].length, bytes = BLOCKS * formats[i].bytes;
        uint8_t *from = room(bytes);
        float *y = numbers(ORDINARY, count);
        for (size_t j = 0; j < bytes; j++) from[j] = (uint8_t)random_bits();
        bool finite = cmk_decode_row(formats[i].source, from, count, y);
        // Which NaN it is differs between processors.
        for (size_t j = 0; j < count; j++)
            if (y[j] != y[j]) y[j] = 0;
        note(&finite, sizeof finite);
        note(y, count * sizeof *y);
    }
}

static void note_packing(void) {
    static const size_t ins[] = {1, 31, 32, 33, 64, 100};
    for (int kind = CMK_Q8; kind <= CMK_Q4; kind++)
        for (size_t i = 0; i < COUNT(ins); i++)
            for (int f = 0; f < FLAVORS; f++) {
                begin_case("packing %zu inputs, numbers %d", ins[i], f);
                size_t in = kind == CMK_Q8 ? (ins[i] + 3) / 4 * 4 : (ins[i] + 63) / 64 * 64;
                float *rows = numbers(f, CMK_LANES * in), *y = numbers(ORDINARY, in);
                uint8_t *panel = room(cmk_panel_bytes(kind, in));
                cmk_pack_panel_quantized(kind, rows, CMK_LANES, in, in, panel);
                note(panel, cmk_panel_bytes(kind, in));
                for (size_t lane = 0; lane < CMK_LANES; lane++) {
                    cmk_unpack_row_quantized(kind, panel, lane, in, y);
                    note(y, in * sizeof *y);
                }
            }
}

static void note_checksums(void) {
    static const size_t counts[] = {0, 1, 7, 8, 31, 32, 33, 100, 1000};
    for (size_t i = 0; i < COUNT(counts); i++) {
        begin_case("checksum of %zu bytes", counts[i]);
        uint8_t *bytes = room(counts[i]);
        for (size_t j = 0; j < counts[i]; j++) bytes[j] = (uint8_t)random_bits();
        cmk_checksum sum = {0}, portable = {0};
        cmk_checksum_add(&sum, bytes, counts[i]);
        cmk_checksum_add_portable(&portable, bytes, counts[i]);
        note(&sum, sizeof sum);
        note(&portable, sizeof portable);
    }
}

void note_portable(void) {
    note_decoding();
    note_packing();
    note_checksums();
}
