// dot_quad_step and dot_nibble_step for sets whose dot_quads, defined before, multiplies signed bytes with
// signed bytes. Weights of 8 bits get their sign back, those of 4 bits are the same either way.
CMK_INLINE v16i dot_quad_step(v16i acc, v16u x, v16u w) {
    return by_quarters(dot_quads, acc, x, w ^ 0x80808080u);
}
CMK_INLINE v16i dot_nibble_step(v16i acc, v16u x, v16u w) { return by_quarters(dot_quads, acc, x, w); }
CMK_INLINE v16i nibble_sums(v16i acc) { return acc; }

#define QUADS_ARE_SIGNED 1
#define HAS_NIBBLE_STEP 1
