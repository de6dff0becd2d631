// Tiles for 32 registers of four lanes. 6 rows take 24 for sums and 4 for weights; bf16 weights that are widened take
// more, and with 6 rows the compiler keeps some sums in memory.
#define TILE_ROWS 6
#define TILE_PANELS 1
#define PAIR_ROWS 4
#define QUANTIZED_ROWS 2
#define FEW_ROWS 4
#define FEW_PANELS 1
