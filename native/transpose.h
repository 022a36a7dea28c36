/* Rows of 32-bit words to columns: out[k] lane i = in[i] word k. What the lanes of a multi-buffer
 * hash are filled with. */
#ifndef SIDEGATE_TRANSPOSE_H
#define SIDEGATE_TRANSPOSE_H

#define TRANSPOSE8(out, in) \
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

/* The same for sixteen rows. After the unpacking, u_[4 * g + c] holds column 4 * q + c of the rows
 * 4 * g to 4 * g + 3 in its quarter q; what is left is to transpose the quarters. */
#define TRANSPOSE16(out, in) \
    do { \
        __m512i t_[16], u_[16]; \
        for (int i_ = 0; i_ < 8; i_++) { \
            t_[2 * i_] = _mm512_unpacklo_epi32((in)[2 * i_], (in)[2 * i_ + 1]); \
            t_[2 * i_ + 1] = _mm512_unpackhi_epi32((in)[2 * i_], (in)[2 * i_ + 1]); \
        } \
        for (int i_ = 0; i_ < 4; i_++) { \
            u_[4 * i_] = _mm512_unpacklo_epi64(t_[4 * i_], t_[4 * i_ + 2]); \
            u_[4 * i_ + 1] = _mm512_unpackhi_epi64(t_[4 * i_], t_[4 * i_ + 2]); \
            u_[4 * i_ + 2] = _mm512_unpacklo_epi64(t_[4 * i_ + 1], t_[4 * i_ + 3]); \
            u_[4 * i_ + 3] = _mm512_unpackhi_epi64(t_[4 * i_ + 1], t_[4 * i_ + 3]); \
        } \
        for (int c_ = 0; c_ < 4; c_++) { \
            const __m512i low_ = _mm512_shuffle_i32x4(u_[c_], u_[4 + c_], 0x44); \
            const __m512i high_ = _mm512_shuffle_i32x4(u_[c_], u_[4 + c_], 0xee); \
            const __m512i low2_ = _mm512_shuffle_i32x4(u_[8 + c_], u_[12 + c_], 0x44); \
            const __m512i high2_ = _mm512_shuffle_i32x4(u_[8 + c_], u_[12 + c_], 0xee); \
            (out)[c_] = _mm512_shuffle_i32x4(low_, low2_, 0x88); \
            (out)[4 + c_] = _mm512_shuffle_i32x4(low_, low2_, 0xdd); \
            (out)[8 + c_] = _mm512_shuffle_i32x4(high_, high2_, 0x88); \
            (out)[12 + c_] = _mm512_shuffle_i32x4(high_, high2_, 0xdd); \
        } \
    } while (0)

#endif
