/* Eight BLAKE3 inputs of equal length in the lanes of 256-bit words; a template, included once per
 * instruction set.
 *
 * The including file defines LANES_NAME, LANES_TARGET and LANES_ROTATE (whether AVX-512VL's
 * rotation is there).
 */

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
#define G(a, b, c, d, x, y) \
    v[a] = _mm256_add_epi32(v[a], _mm256_add_epi32(x, v[b])); \
    v[d] = ROTR16(_mm256_xor_si256(v[d], v[a])); \
    v[c] = _mm256_add_epi32(v[c], v[d]); \
    v[b] = ROTR12(_mm256_xor_si256(v[b], v[c])); \
    v[a] = _mm256_add_epi32(v[a], _mm256_add_epi32(y, v[b])); \
    v[d] = ROTR8(_mm256_xor_si256(v[d], v[a])); \
    v[c] = _mm256_add_epi32(v[c], v[d]); \
    v[b] = ROTR7(_mm256_xor_si256(v[b], v[c]));

/* Rows of eight words each to columns: out[k] lane i = in[i] word k. */
#define TRANSPOSE(out, in) \
    do { \
        __m256i t_[8], u_[8]; \
        for (int i_ = 0; i_ < 4; i_++) { \
            t_[2 * i_] = _mm256_unpacklo_epi32((in)[2 * i_], (in)[2 * i_ + 1]); \
            t_[2 * i_ + 1] = _mm256_unpackhi_epi32((in)[2 * i_], (in)[2 * i_ + 1]); \
        } \
        for (int i_ = 0; i_ < 2; i_++) { \
            u_[4 * i_] = _mm256_unpacklo_epi64(t_[4 * i_], t_[4 * i_ + 2]); \
            u_[4 * i_ + 1] = _mm256_unpackhi_epi64(t_[4 * i_], t_[4 * i_ + 2]); \
            u_[4 * i_ + 2] = _mm256_unpacklo_epi64(t_[4 * i_ + 1], t_[4 * i_ + 3]); \
            u_[4 * i_ + 3] = _mm256_unpackhi_epi64(t_[4 * i_ + 1], t_[4 * i_ + 3]); \
        } \
        for (int i_ = 0; i_ < 4; i_++) { \
            (out)[i_] = _mm256_permute2x128_si256(u_[i_], u_[i_ + 4], 0x20); \
            (out)[i_ + 4] = _mm256_permute2x128_si256(u_[i_], u_[i_ + 4], 0x31); \
        } \
    } while (0)

/* Compress inputs of `blocks` whole blocks that begin `stride` bytes apart, to eight chaining
 * values of 32 bytes, one after the other. Input i has the counter `counter + i * step`. */
__attribute__((target(LANES_TARGET))) static void LANES_NAME(
    const uint32_t key[8], const uint8_t *data, size_t stride, int blocks, uint64_t counter,
    uint32_t step, uint32_t flags, uint32_t first, uint32_t last, uint8_t *out) {
#if !LANES_ROTATE
    const __m256i by16 = _mm256_set_epi8(13, 12, 15, 14, 9, 8, 11, 10, 5, 4, 7, 6, 1, 0, 3, 2, 13,
                                         12, 15, 14, 9, 8, 11, 10, 5, 4, 7, 6, 1, 0, 3, 2);
    const __m256i by8 = _mm256_set_epi8(12, 15, 14, 13, 8, 11, 10, 9, 4, 7, 6, 5, 0, 3, 2, 1, 12,
                                        15, 14, 13, 8, 11, 10, 9, 4, 7, 6, 5, 0, 3, 2, 1);
#endif
    uint32_t low[8], high[8];
    __m256i h[8];
    for (int i = 0; i < 8; i++) {
        const uint64_t of_input = counter + (uint64_t)i * step;
        low[i] = (uint32_t)of_input;
        high[i] = (uint32_t)(of_input >> 32);
        h[i] = _mm256_set1_epi32((int)key[i]);
    }
    const __m256i counter_low = _mm256_loadu_si256((const __m256i *)low);
    const __m256i counter_high = _mm256_loadu_si256((const __m256i *)high);
    for (int block = 0; block < blocks; block++) {
        uint32_t of_block = flags;
        if (block == 0) of_block |= first;
        if (block == blocks - 1) of_block |= last;
        __m256i m[16], rows[8];
        for (int half = 0; half < 2; half++) {
            for (int i = 0; i < 8; i++)
                rows[i] = _mm256_loadu_si256(
                    (const __m256i *)(data + (size_t)i * stride + 64 * block + 32 * half));
            TRANSPOSE(m + 8 * half, rows);
        }
        __m256i v[16];
        for (int i = 0; i < 8; i++) v[i] = h[i];
        for (int i = 0; i < 4; i++) v[8 + i] = _mm256_set1_epi32((int)blake3_iv[i]);
        v[12] = counter_low;
        v[13] = counter_high;
        v[14] = _mm256_set1_epi32(64);
        v[15] = _mm256_set1_epi32((int)of_block);
        BLAKE3_ROUNDS
        for (int i = 0; i < 8; i++) h[i] = _mm256_xor_si256(v[i], v[8 + i]);
    }
    __m256i rows[8];
    TRANSPOSE(rows, h);
    for (int i = 0; i < 8; i++) _mm256_storeu_si256((__m256i *)(out + 32 * i), rows[i]);
}

#undef ROTR16
#undef ROTR12
#undef ROTR8
#undef ROTR7
#undef G
#undef TRANSPOSE
