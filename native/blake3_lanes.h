/* Equal-sized BLAKE3 inputs in the lanes of vectors; a template, included once per instruction set.
 *
 * The including file defines LANES_NAME, LANES_TARGET, LANES_WIDTH (8 or 16) and LANES_ROTATE
 * (whether the rotation of AVX-512 is there; 16 lanes need it).
 */

#if LANES_WIDTH == 16
#define WORD __m512i
#define ADD _mm512_add_epi32
#define XOR _mm512_xor_si512
#define ALL(x) _mm512_set1_epi32((int)(x))
#define LOAD(p) _mm512_loadu_si512(p)
#define STORE(p, x) _mm512_storeu_si512(p, x)
#define ROTR16(x) _mm512_ror_epi32(x, 16)
#define ROTR12(x) _mm512_ror_epi32(x, 12)
#define ROTR8(x) _mm512_ror_epi32(x, 8)
#define ROTR7(x) _mm512_ror_epi32(x, 7)
#else
#define WORD __m256i
#define ADD _mm256_add_epi32
#define XOR _mm256_xor_si256
#define ALL(x) _mm256_set1_epi32((int)(x))
#define LOAD(p) _mm256_loadu_si256((const __m256i *)(p))
#define STORE(p, x) _mm256_storeu_si256((__m256i *)(p), x)
#if LANES_ROTATE
#define ROTR16(x) _mm256_ror_epi32(x, 16)
#define ROTR12(x) _mm256_ror_epi32(x, 12)
#define ROTR8(x) _mm256_ror_epi32(x, 8)
#define ROTR7(x) _mm256_ror_epi32(x, 7)
#else
#define ROTR16(x) _mm256_shuffle_epi8(x, by16)
#define ROTR12(x) _mm256_or_si256(_mm256_srli_epi32(x, 12), _mm256_slli_epi32(x, 20))
#define ROTR8(x) _mm256_shuffle_epi8(x, by8)
#define ROTR7(x) _mm256_or_si256(_mm256_srli_epi32(x, 7), _mm256_slli_epi32(x, 25))
#endif
#endif

#define G(a, b, c, d, x, y) \
    v[a] = ADD(v[a], ADD(x, v[b])); \
    v[d] = ROTR16(XOR(v[d], v[a])); \
    v[c] = ADD(v[c], v[d]); \
    v[b] = ROTR12(XOR(v[b], v[c])); \
    v[a] = ADD(v[a], ADD(y, v[b])); \
    v[d] = ROTR8(XOR(v[d], v[a])); \
    v[c] = ADD(v[c], v[d]); \
    v[b] = ROTR7(XOR(v[b], v[c]));

/* Compress LANES_WIDTH inputs of `blocks` whole blocks to chaining values, one behind the other in
 * `out`. Input i has the counter `counter + i * step`. Input `odd`, unless that is -1, is shorter:
 * it ends `odd_tail` bytes into its block `odd_block`, with zeros behind. */
__attribute__((target(LANES_TARGET))) static void LANES_NAME(
    const uint32_t key[8], const uint8_t *const *in, int blocks, uint64_t counter, uint32_t step,
    uint32_t flags, uint32_t first, uint32_t last, int odd, int odd_block, uint32_t odd_tail,
    uint8_t *out) {
#if !LANES_ROTATE
    const __m256i by16 = _mm256_set_epi8(13, 12, 15, 14, 9, 8, 11, 10, 5, 4, 7, 6, 1, 0, 3, 2, 13,
                                         12, 15, 14, 9, 8, 11, 10, 5, 4, 7, 6, 1, 0, 3, 2);
    const __m256i by8 = _mm256_set_epi8(12, 15, 14, 13, 8, 11, 10, 9, 4, 7, 6, 5, 0, 3, 2, 1, 12,
                                        15, 14, 13, 8, 11, 10, 9, 4, 7, 6, 5, 0, 3, 2, 1);
#endif
    uint32_t low[LANES_WIDTH], high[LANES_WIDTH], odd_cv[8];
    WORD h[8];
    for (int i = 0; i < LANES_WIDTH; i++) {
        const uint64_t of_input = counter + (uint64_t)i * step;
        low[i] = (uint32_t)of_input;
        high[i] = (uint32_t)(of_input >> 32);
    }
    for (int i = 0; i < 8; i++) h[i] = ALL(key[i]);
    const WORD counter_low = LOAD(low);
    const WORD counter_high = LOAD(high);
    for (int block = 0; block < blocks; block++) {
        const int ends = odd >= 0 && block == odd_block;
        uint32_t of_block = flags;
        if (block == 0) of_block |= first;
        if (block == blocks - 1) of_block |= last;
        WORD m[16], v[16];
#if LANES_WIDTH == 16
        WORD rows[16];
        for (int i = 0; i < 16; i++) rows[i] = LOAD(in[i] + 64 * block);
        TRANSPOSE16(m, rows);
#else
        __m256i rows[8];
        for (int i = 0; i < 8; i++) rows[i] = LOAD(in[i] + 64 * block);
        TRANSPOSE8(m, rows);
        for (int i = 0; i < 8; i++) rows[i] = LOAD(in[i] + 64 * block + 32);
        TRANSPOSE8(m + 8, rows);
#endif
        for (int i = 0; i < 8; i++) v[i] = h[i];
        for (int i = 0; i < 4; i++) v[8 + i] = ALL(blake3_iv[i]);
        v[12] = counter_low;
        v[13] = counter_high;
        v[14] = ALL(64);
        v[15] = ALL(of_block);
        if (ends) {
            uint32_t words[LANES_WIDTH];
            STORE(words, v[14]);
            words[odd] = odd_tail;
            v[14] = LOAD(words);
            STORE(words, v[15]);
            words[odd] |= last;
            v[15] = LOAD(words);
        }
        BLAKE3_ROUNDS
        for (int i = 0; i < 8; i++) h[i] = XOR(v[i], v[8 + i]);
        if (ends) {
            uint32_t words[LANES_WIDTH];
            for (int i = 0; i < 8; i++) {
                STORE(words, h[i]);
                odd_cv[i] = words[odd];
            }
        }
    }
    __m256i half[8], rows[8];
    for (int part = 0; part < LANES_WIDTH / 8; part++) {
#if LANES_WIDTH == 16
        for (int i = 0; i < 8; i++)
            half[i] = part == 0 ? _mm512_castsi512_si256(h[i]) : _mm512_extracti64x4_epi64(h[i], 1);
#else
        for (int i = 0; i < 8; i++) half[i] = h[i];
#endif
        TRANSPOSE8(rows, half);
        for (int i = 0; i < 8; i++)
            _mm256_storeu_si256((__m256i *)(out + 32 * (8 * part + i)), rows[i]);
    }
    if (odd >= 0) memcpy(out + 32 * odd, odd_cv, 32);
}

#undef LANES_NAME
#undef LANES_TARGET
#undef LANES_WIDTH
#undef LANES_ROTATE
#undef WORD
#undef ADD
#undef XOR
#undef ALL
#undef LOAD
#undef STORE
#undef ROTR16
#undef ROTR12
#undef ROTR8
#undef ROTR7
#undef G
