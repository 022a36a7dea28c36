/* The compression function's rounds (BLAKE3 specification 2.2) for any word type: the including
 * file defines G(a, b, c, d, x, y) over the sixteen words `v` and the message `m`. */
#ifndef SIDEGATE_BLAKE3_ROUNDS_H
#define SIDEGATE_BLAKE3_ROUNDS_H

#include <stdint.h>

static const uint32_t blake3_iv[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

/* Row r is the message order of round r: table 2 of the specification, applied r times. */
static const uint8_t blake3_order[7][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8},
    {3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1},
    {10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6},
    {12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4},
    {9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7},
    {11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13},
};

#define BLAKE3_ROUND(r) \
    G(0, 4, 8, 12, m[blake3_order[r][0]], m[blake3_order[r][1]]) \
    G(1, 5, 9, 13, m[blake3_order[r][2]], m[blake3_order[r][3]]) \
    G(2, 6, 10, 14, m[blake3_order[r][4]], m[blake3_order[r][5]]) \
    G(3, 7, 11, 15, m[blake3_order[r][6]], m[blake3_order[r][7]]) \
    G(0, 5, 10, 15, m[blake3_order[r][8]], m[blake3_order[r][9]]) \
    G(1, 6, 11, 12, m[blake3_order[r][10]], m[blake3_order[r][11]]) \
    G(2, 7, 8, 13, m[blake3_order[r][12]], m[blake3_order[r][13]]) \
    G(3, 4, 9, 14, m[blake3_order[r][14]], m[blake3_order[r][15]])

#define BLAKE3_ROUNDS \
    BLAKE3_ROUND(0) \
    BLAKE3_ROUND(1) \
    BLAKE3_ROUND(2) \
    BLAKE3_ROUND(3) \
    BLAKE3_ROUND(4) \
    BLAKE3_ROUND(5) \
    BLAKE3_ROUND(6)

#endif
