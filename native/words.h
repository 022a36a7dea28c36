/* Words of 32 bits in memory, little-endian as BLAKE3 and MD5 have them, at any address. */
#ifndef SIDEGATE_WORDS_H
#define SIDEGATE_WORDS_H

#include <stdint.h>
#include <string.h>

static inline uint32_t load32(const uint8_t *p) {
    uint32_t x;
    memcpy(&x, p, 4);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap32(x);
#endif
    return x;
}

static inline void store32(uint8_t *p, uint32_t x) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap32(x);
#endif
    memcpy(p, &x, 4);
}

#endif
