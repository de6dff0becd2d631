// dot_quad_step with USDOT, which takes stored weights as they are.
//
// The same extension has USMMLA, two rows by two outputs of eight inputs. It would need two lines of weights zipped
// for each use: for a tile of two rows as many zips as it saves products.
CMK_INLINE int32x4_t dot_quads(int32x4_t acc, uint32x4_t x, uint32x4_t w) {
    return vusdotq_s32(acc, vreinterpretq_u8_u32(w), vreinterpretq_s8_u32(x));
}

CMK_INLINE v16i dot_quad_step(v16i acc, v16u x, v16u w) { return by_quarters(dot_quads, acc, x, w); }
