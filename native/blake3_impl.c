#include "blake3_impl.h"

#include <string.h>

#include "blake3_rounds.h"

/* The tree is built in runs of RUN chunks. A whole run is a complete subtree of its own, because
 * RUN is a power of two; within a run, level after level is reduced in pairs, and an odd last
 * value goes up as it is: that is the left-complete tree of section 2.1. Whole runs meet like the
 * digits of a binary counter. 256 KiB, the largest chunk of the store, is one run. */
#define CHUNK 1024
#define BLOCK 64
#define CV 32
#define RUN 256
#define DEPTH_MAX 48 /* 2^48 runs are 2^66 bytes */

enum { CHUNK_START = 1, CHUNK_END = 2, PARENT = 4, ROOT = 8, KEYED_HASH = 16 };

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

#define ROTR(x, s) ((x) >> (s) | (x) << (32 - (s)))
#define G(a, b, c, d, x, y) \
    v[a] += v[b] + x; \
    v[d] = ROTR(v[d] ^ v[a], 16); \
    v[c] += v[d]; \
    v[b] = ROTR(v[b] ^ v[c], 12); \
    v[a] += v[b] + y; \
    v[d] = ROTR(v[d] ^ v[a], 8); \
    v[c] += v[d]; \
    v[b] = ROTR(v[b] ^ v[c], 7);

static void compress(uint32_t h[8], const uint8_t block[BLOCK], uint32_t size, uint64_t counter,
                     uint32_t flags) {
    uint32_t m[16], v[16];
    for (int i = 0; i < 16; i++) m[i] = load32(block + 4 * i);
    for (int i = 0; i < 8; i++) v[i] = h[i];
    for (int i = 0; i < 4; i++) v[8 + i] = blake3_iv[i];
    v[12] = (uint32_t)counter;
    v[13] = (uint32_t)(counter >> 32);
    v[14] = size;
    v[15] = flags;
    BLAKE3_ROUNDS
    for (int i = 0; i < 8; i++) h[i] = v[i] ^ v[8 + i];
}

#undef ROTR
#undef G

#if defined(__x86_64__)

#include <immintrin.h>

#define LANES 8

#define LANES_NAME avx2_many
#define LANES_TARGET "avx2"
#define LANES_ROTATE 0
#include "blake3_lanes.h"
#undef LANES_NAME
#undef LANES_TARGET
#undef LANES_ROTATE

#define LANES_NAME avx512_many
#define LANES_TARGET "avx2,avx512f,avx512vl"
#define LANES_ROTATE 1
#include "blake3_lanes.h"

int blake3_can(int kernel) {
    switch (kernel) {
        case BLAKE3_PORTABLE: return 1;
        case BLAKE3_AVX2: return __builtin_cpu_supports("avx2") != 0;
        case BLAKE3_AVX512:
            return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("avx512f")
                   && __builtin_cpu_supports("avx512vl");
        default: return 0;
    }
}

#else

int blake3_can(int kernel) { return kernel == BLAKE3_PORTABLE; }

#endif

int blake3_best(void) {
    int kernel = BLAKE3_KERNELS - 1;
    while (!blake3_can(kernel)) kernel--;
    return kernel;
}

typedef struct {
    int kernel;
    uint32_t key[8];
} hasher;

static void store_cv(uint8_t out[CV], const uint32_t h[8]) {
    for (int i = 0; i < 8; i++) store32(out + 4 * i, h[i]);
}

/* One chunk of 0 to CHUNK bytes. */
static void chunk_cv(const hasher *self, const uint8_t *data, size_t size, uint64_t counter,
                     uint32_t root, uint8_t out[CV]) {
    uint32_t h[8];
    uint32_t flags = KEYED_HASH | CHUNK_START;
    memcpy(h, self->key, sizeof h);
    while (size > BLOCK) {
        compress(h, data, BLOCK, counter, flags);
        flags = KEYED_HASH;
        data += BLOCK;
        size -= BLOCK;
    }
    uint8_t last[BLOCK] = {0};
    if (size > 0) memcpy(last, data, size);
    compress(h, last, (uint32_t)size, counter, flags | CHUNK_END | root);
    store_cv(out, h);
}

static void parent_cv(const hasher *self, const uint8_t pair[2 * CV], uint32_t root,
                      uint8_t out[CV]) {
    uint32_t h[8];
    memcpy(h, self->key, sizeof h);
    compress(h, pair, BLOCK, 0, KEYED_HASH | PARENT | root);
    store_cv(out, h);
}

#if defined(__x86_64__)
static void many(const hasher *self, const uint8_t *data, size_t stride, int blocks,
                 uint64_t counter, uint32_t step, uint32_t flags, uint32_t first, uint32_t last,
                 uint8_t *out) {
    if (self->kernel == BLAKE3_AVX512)
        avx512_many(self->key, data, stride, blocks, counter, step, flags, first, last, out);
    else
        avx2_many(self->key, data, stride, blocks, counter, step, flags, first, last, out);
}
#endif

/* Chaining values of the chunks of a run, of at least one byte; returns how many. */
static size_t leaves(const hasher *self, const uint8_t *data, size_t size, uint64_t counter,
                     uint8_t *out) {
    size_t count = 0;
#if defined(__x86_64__)
    if (self->kernel != BLAKE3_PORTABLE) {
        for (; size >= LANES * CHUNK; size -= LANES * CHUNK, data += LANES * CHUNK, count += LANES)
            many(self, data, CHUNK, CHUNK / BLOCK, counter + count, 1, KEYED_HASH, CHUNK_START,
                 CHUNK_END, out + count * CV);
    }
#endif
    while (size > 0) {
        const size_t take = size < CHUNK ? size : CHUNK;
        chunk_cv(self, data, take, counter + count, 0, out + count * CV);
        data += take;
        size -= take;
        count++;
    }
    return count;
}

/* Replace `count` chaining values by those of the level above; returns how many these are. */
static size_t ascend(const hasher *self, uint8_t *cvs, size_t count) {
    const size_t pairs = count / 2;
    size_t done = 0;
#if defined(__x86_64__)
    if (self->kernel != BLAKE3_PORTABLE) {
        for (; pairs - done >= LANES; done += LANES)
            many(self, cvs + done * 2 * CV, 2 * CV, 1, 0, 0, KEYED_HASH | PARENT, 0, 0,
                 cvs + done * CV);
    }
#endif
    for (; done < pairs; done++) parent_cv(self, cvs + done * 2 * CV, 0, cvs + done * CV);
    if (count % 2 != 0) memmove(cvs + pairs * CV, cvs + (count - 1) * CV, CV);
    return pairs + count % 2;
}

/* Reduce one run to at most `left` (1 or 2) chaining values at the start of `cvs`. */
static size_t run_cvs(const hasher *self, const uint8_t *data, size_t size, uint64_t counter,
                      size_t left, uint8_t *cvs) {
    size_t count = leaves(self, data, size, counter, cvs);
    while (count > left) count = ascend(self, cvs, count);
    return count;
}

void blake3_keyed(int kernel, const uint8_t key[32], const uint8_t *data, size_t size,
                  uint8_t out[32]) {
    hasher self = {.kernel = kernel};
    for (int i = 0; i < 8; i++) self.key[i] = load32(key + 4 * i);
    if (size <= CHUNK) {
        chunk_cv(&self, data, size, 0, ROOT, out);
        return;
    }
    uint8_t cvs[RUN * CV];
    if (size <= RUN * CHUNK) {
        run_cvs(&self, data, size, 0, 2, cvs);
        parent_cv(&self, cvs, ROOT, out);
        return;
    }
    uint8_t stack[DEPTH_MAX * CV]; /* subtrees that wait for their right sibling, largest first */
    size_t depth = 0;
    uint64_t runs = 0;
    while (size > RUN * CHUNK) {
        run_cvs(&self, data, RUN * CHUNK, runs * RUN, 1, cvs);
        memcpy(stack + depth * CV, cvs, CV);
        depth++;
        runs++;
        /* More bytes follow, so none of these can be the root. */
        for (uint64_t full = runs; full % 2 == 0; full /= 2, depth--)
            parent_cv(&self, stack + (depth - 2) * CV, 0, stack + (depth - 2) * CV);
        data += RUN * CHUNK;
        size -= RUN * CHUNK;
    }
    run_cvs(&self, data, size, runs * RUN, 1, cvs);
    memcpy(stack + depth * CV, cvs, CV);
    for (; depth > 1; depth--)
        parent_cv(&self, stack + (depth - 1) * CV, 0, stack + (depth - 1) * CV);
    parent_cv(&self, stack, ROOT, out);
}
