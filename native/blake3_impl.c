#include "blake3_impl.h"

#include <string.h>

#include "blake3_rounds.h"
#include "machine.h"
#include "words.h"

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

#if SIDEGATE_X86

#include <immintrin.h>

#include "transpose.h"

#define LANES_NAME avx2_8
#define LANES_TARGET "avx2"
#define LANES_WIDTH 8
#define LANES_ROTATE 0
#include "blake3_lanes.h"

#define LANES_NAME avx512_8
#define LANES_TARGET "avx2,avx512f,avx512vl"
#define LANES_WIDTH 8
#define LANES_ROTATE 1
#include "blake3_lanes.h"

#define LANES_NAME avx512_16
#define LANES_TARGET "avx2,avx512f,avx512vl"
#define LANES_WIDTH 16
#define LANES_ROTATE 1
#include "blake3_lanes.h"

#define LANES_MAX 16

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

#if SIDEGATE_X86
/* Compress 2 to LANES_MAX inputs side by side; what is not there repeats the first. `out` has room
 * for `count`. The last input may be shorter: by `missing` bytes, which are zeros in memory. */
static void many(const hasher *self, const uint8_t **in, size_t count, int blocks,
                 uint64_t counter, uint32_t step, uint32_t flags, uint32_t first, uint32_t last,
                 size_t missing, uint8_t *out) {
    uint8_t cvs[LANES_MAX * CV];
    const size_t size = (size_t)blocks * BLOCK - missing;
    const int odd = missing > 0 ? (int)count - 1 : -1;
    const int odd_block = (int)((size - 1) / BLOCK);
    const uint32_t odd_tail = (uint32_t)(size - (size_t)odd_block * BLOCK);
    for (size_t i = count; i < LANES_MAX; i++) in[i] = in[0];
    if (self->kernel == BLAKE3_AVX2)
        avx2_8(self->key, in, blocks, counter, step, flags, first, last, odd, odd_block, odd_tail,
               cvs);
    else if (count <= 8)
        avx512_8(self->key, in, blocks, counter, step, flags, first, last, odd, odd_block,
                 odd_tail, cvs);
    else
        avx512_16(self->key, in, blocks, counter, step, flags, first, last, odd, odd_block,
                  odd_tail, cvs);
    memcpy(out, cvs, count * CV);
}

/* Inputs that go side by side when `left` are left: two lanes already beat the portable code. */
static size_t batch_of(const hasher *self, size_t left) {
    const size_t width = self->kernel == BLAKE3_AVX512 ? 16 : 8;
    return self->kernel == BLAKE3_PORTABLE || left < 2 ? 0 : left < width ? left : width;
}
#endif

/* Chaining values of the chunks of a run, of at least one byte; returns how many. */
static size_t leaves(const hasher *self, const uint8_t *data, size_t size, uint64_t counter,
                     uint8_t *out) {
    const size_t count = (size + CHUNK - 1) / CHUNK;
    size_t done = 0;
#if SIDEGATE_X86
    const uint8_t *in[LANES_MAX];
    uint8_t padded[CHUNK];
    size_t batch;
    while ((batch = batch_of(self, count - done)) > 0) {
        size_t missing = 0;
        for (size_t i = 0; i < batch; i++) in[i] = data + (done + i) * CHUNK;
        if ((done + batch) * CHUNK > size) {
            missing = (done + batch) * CHUNK - size;
            memcpy(padded, in[batch - 1], CHUNK - missing);
            memset(padded + CHUNK - missing, 0, missing);
            in[batch - 1] = padded;
        }
        many(self, in, batch, CHUNK / BLOCK, counter + done, 1, KEYED_HASH, CHUNK_START, CHUNK_END,
             missing, out + done * CV);
        done += batch;
    }
#endif
    for (; done < count; done++) {
        const size_t left = size - done * CHUNK;
        chunk_cv(self, data + done * CHUNK, left < CHUNK ? left : CHUNK, counter + done, 0,
                 out + done * CV);
    }
    return count;
}

/* Replace `count` chaining values by those of the level above; returns how many these are. */
static size_t ascend(const hasher *self, uint8_t *cvs, size_t count) {
    const size_t pairs = count / 2;
    size_t done = 0;
#if SIDEGATE_X86
    const uint8_t *in[LANES_MAX];
    size_t batch;
    while ((batch = batch_of(self, pairs - done)) > 0) {
        for (size_t i = 0; i < batch; i++) in[i] = cvs + (done + i) * 2 * CV;
        many(self, in, batch, 1, 0, 0, KEYED_HASH | PARENT, 0, 0, 0, cvs + done * CV);
        done += batch;
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
