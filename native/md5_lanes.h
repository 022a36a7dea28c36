/* Eight MD5 streams in the lanes of 256-bit words; a template, included once per instruction set.
 *
 * The including file defines LANES_NAME, LANES_TARGET and LANES_TERNARY (whether the rotation and
 * the three-input logic of AVX-512VL are there). `h[k][i]` is word k of stream i.
 */

#if LANES_TERNARY
#define ROTL(x, s) _mm256_rol_epi32(x, s)
#define F(a, b, c, d) a = _mm256_add_epi32(a, _mm256_ternarylogic_epi32(b, c, d, 0xca))
#define G(a, b, c, d) a = _mm256_add_epi32(a, _mm256_ternarylogic_epi32(d, b, c, 0xca))
#define H(a, b, c, d) a = _mm256_add_epi32(a, _mm256_ternarylogic_epi32(b, c, d, 0x96))
#define I(a, b, c, d) a = _mm256_add_epi32(a, _mm256_ternarylogic_epi32(b, c, d, 0x39))
#else
#define ROTL(x, s) _mm256_or_si256(_mm256_slli_epi32(x, s), _mm256_srli_epi32(x, 32 - (s)))
#define F(a, b, c, d) \
    a = _mm256_add_epi32(a, _mm256_xor_si256(d, _mm256_and_si256(b, _mm256_xor_si256(c, d))))
#define G(a, b, c, d) \
    a = _mm256_add_epi32(a, _mm256_andnot_si256(d, c)); \
    a = _mm256_add_epi32(a, _mm256_and_si256(d, b))
#define H(a, b, c, d) a = _mm256_add_epi32(a, _mm256_xor_si256(b, _mm256_xor_si256(c, d)))
#define I(a, b, c, d) \
    a = _mm256_add_epi32( \
        a, _mm256_xor_si256(c, _mm256_or_si256(b, _mm256_xor_si256(d, _mm256_set1_epi32(-1)))))
#endif
#define STEP(f, a, b, c, d, word, s, i) \
    a = _mm256_add_epi32(a, _mm256_add_epi32(m[word], _mm256_set1_epi32((int)md5_t[i]))); \
    f(a, b, c, d); \
    a = _mm256_add_epi32(ROTL(a, s), b);

__attribute__((target(LANES_TARGET))) static void LANES_NAME(
    uint32_t h[4][8], const uint8_t *const data[8], size_t blocks) {
    __m256i a = _mm256_loadu_si256((const __m256i *)h[0]);
    __m256i b = _mm256_loadu_si256((const __m256i *)h[1]);
    __m256i c = _mm256_loadu_si256((const __m256i *)h[2]);
    __m256i d = _mm256_loadu_si256((const __m256i *)h[3]);
    for (size_t at = 0; at < blocks * 64; at += 64) {
        const __m256i a0 = a, b0 = b, c0 = c, d0 = d;
        __m256i m[16], rows[8];
        for (int half = 0; half < 2; half++) {
            for (int i = 0; i < 8; i++)
                rows[i] = _mm256_loadu_si256((const __m256i *)(data[i] + at + 32 * half));
            TRANSPOSE8(m + 8 * half, rows);
        }
        MD5_STEPS
        a = _mm256_add_epi32(a, a0);
        b = _mm256_add_epi32(b, b0);
        c = _mm256_add_epi32(c, c0);
        d = _mm256_add_epi32(d, d0);
    }
    _mm256_storeu_si256((__m256i *)h[0], a);
    _mm256_storeu_si256((__m256i *)h[1], b);
    _mm256_storeu_si256((__m256i *)h[2], c);
    _mm256_storeu_si256((__m256i *)h[3], d);
}

#undef LANES_NAME
#undef LANES_TARGET
#undef LANES_TERNARY
#undef ROTL
#undef F
#undef G
#undef H
#undef I
#undef STEP
