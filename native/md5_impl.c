#include "md5_impl.h"

#include <string.h>

#include "machine.h"
#include "md5_steps.h"
#include "words.h"

#define BLOCK 64

/* The functions F, G, H, I as sums of parts, so that the word known last (b) enters late: the
 * chain from step to step is what bounds MD5. */
#define ROTL(x, s) ((x) << (s) | (x) >> (32 - (s)))
#define F(a, b, c, d) a += d ^ (b & (c ^ d))
#define G(a, b, c, d) a += (~d & c), a += (d & b)
#define H(a, b, c, d) a += (c ^ d) ^ b
#define I(a, b, c, d) a += c ^ (b | ~d)
#define STEP(f, a, b, c, d, word, s, i) \
    a += m[word] + md5_t[i]; \
    f(a, b, c, d); \
    a = ROTL(a, s) + b;

static void scalar_blocks(uint32_t h[4], const uint8_t *data, size_t blocks) {
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3];
    for (; blocks > 0; blocks--, data += BLOCK) {
        const uint32_t a0 = a, b0 = b, c0 = c, d0 = d;
        uint32_t m[16];
        for (int i = 0; i < 16; i++) m[i] = load32(data + 4 * i);
        MD5_STEPS
        a += a0;
        b += b0;
        c += c0;
        d += d0;
    }
    h[0] = a;
    h[1] = b;
    h[2] = c;
    h[3] = d;
}

#undef ROTL
#undef F
#undef G
#undef H
#undef I
#undef STEP

void md5_start(md5_state *state) {
    static const uint32_t initial[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
    memset(state, 0, sizeof *state);
    memcpy(state->h, initial, sizeof initial);
}

/* Complete the block that waits in the tail; return how many bytes that took. */
static size_t fill_tail(md5_state *state, const uint8_t *data, size_t size) {
    const size_t held = state->length % BLOCK;
    if (held == 0) return 0;
    size_t take = BLOCK - held;
    if (take > size) take = size;
    memcpy(state->tail + held, data, take);
    if (held + take == BLOCK) scalar_blocks(state->h, state->tail, 1);
    return take;
}

void md5_update(md5_state *state, const uint8_t *data, size_t size) {
    if (size == 0) return;
    const size_t head = fill_tail(state, data, size);
    const size_t blocks = (size - head) / BLOCK;
    const size_t rest = size - head - blocks * BLOCK;
    scalar_blocks(state->h, data + head, blocks);
    if (rest > 0) memcpy(state->tail, data + size - rest, rest);
    state->length += size;
}

void md5_finish(const md5_state *state, uint8_t out[16]) {
    uint32_t h[4];
    uint8_t last[2 * BLOCK];
    const size_t held = state->length % BLOCK;
    const size_t end = held < BLOCK - 8 ? BLOCK : 2 * BLOCK;
    const uint64_t bits = state->length << 3;
    memcpy(h, state->h, sizeof h);
    memset(last, 0, sizeof last);
    memcpy(last, state->tail, held);
    last[held] = 0x80;
    store32(last + end - 8, (uint32_t)bits);
    store32(last + end - 4, (uint32_t)(bits >> 32));
    scalar_blocks(h, last, end / BLOCK);
    for (int i = 0; i < 4; i++) store32(out + 4 * i, h[i]);
}

#if SIDEGATE_X86

#include <immintrin.h>

#include "transpose.h"

#define LANES_NAME avx2_blocks
#define LANES_TARGET "avx2"
#define LANES_TERNARY 0
#include "md5_lanes.h"

#define LANES_NAME avx512vl_blocks
#define LANES_TARGET "avx2,avx512f,avx512vl"
#define LANES_TERNARY 1
#include "md5_lanes.h"

int md5_can(int kernel) {
    switch (kernel) {
        case MD5_SCALAR: return 1;
        case MD5_AVX2: return __builtin_cpu_supports("avx2") != 0;
        case MD5_AVX512VL:
            return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("avx512f")
                   && __builtin_cpu_supports("avx512vl");
        default: return 0;
    }
}

#define LANES 8

/* What a lane works on; `blocks` is 0 when it is free. */
typedef struct {
    md5_state *state;
    const uint8_t *data;
    size_t blocks;
} lane;

/* Finish the ends of jobs that vectors do not reach, and give the lane what is left. */
static void enter(lane *into, const md5_job *job) {
    md5_state *state = job->state;
    const size_t head = fill_tail(state, job->data, job->size);
    const size_t blocks = (job->size - head) / BLOCK;
    const size_t rest = job->size - head - blocks * BLOCK;
    if (rest > 0) memcpy(state->tail, job->data + job->size - rest, rest);
    state->length += job->size;
    into->state = state;
    into->data = job->data + head;
    into->blocks = blocks;
}

static int in_flight(const lane lanes[LANES], const md5_state *state) {
    for (int i = 0; i < LANES; i++)
        if (lanes[i].blocks > 0 && lanes[i].state == state) return 1;
    return 0;
}

static void vector_many(int kernel, const md5_job *jobs, size_t count, uint8_t *taken) {
    lane lanes[LANES];
    memset(lanes, 0, sizeof lanes);
    size_t first = 0; /* all jobs before it are taken */
    for (;;) {
        int active = 0;
        for (int i = 0; i < LANES; i++) {
            for (size_t j = first; lanes[i].blocks == 0 && j < count; j++) {
                if (taken[j] || in_flight(lanes, jobs[j].state)) continue;
                taken[j] = 1;
                if (jobs[j].size > 0) enter(&lanes[i], &jobs[j]);
            }
            while (first < count && taken[first]) first++;
            active += lanes[i].blocks > 0;
        }
        if (active == 0) return;
        if (active == 1) {
            /* Eight lanes cost as much as one and a half: alone, the scalar code is faster. */
            for (int i = 0; i < LANES; i++) {
                if (lanes[i].blocks == 0) continue;
                scalar_blocks(lanes[i].state->h, lanes[i].data, lanes[i].blocks);
                lanes[i].blocks = 0;
            }
            continue;
        }
        size_t common = SIZE_MAX;
        int donor = -1; /* idle lanes recompute a busy one's blocks and forget the result */
        for (int i = 0; i < LANES; i++) {
            if (lanes[i].blocks == 0) continue;
            donor = i;
            if (lanes[i].blocks < common) common = lanes[i].blocks;
        }
        uint32_t h[4][LANES];
        const uint8_t *data[LANES];
        for (int i = 0; i < LANES; i++) {
            const lane *from = &lanes[lanes[i].blocks > 0 ? i : donor];
            for (int k = 0; k < 4; k++) h[k][i] = from->state->h[k];
            data[i] = from->data;
        }
        if (kernel == MD5_AVX512VL)
            avx512vl_blocks(h, data, common);
        else
            avx2_blocks(h, data, common);
        for (int i = 0; i < LANES; i++) {
            if (lanes[i].blocks == 0) continue;
            for (int k = 0; k < 4; k++) lanes[i].state->h[k] = h[k][i];
            lanes[i].data += common * BLOCK;
            lanes[i].blocks -= common;
        }
    }
}

#else

int md5_can(int kernel) { return kernel == MD5_SCALAR; }

#endif

void md5_update_many(int kernel, const md5_job *jobs, size_t count, uint8_t *taken) {
#if SIDEGATE_X86
    if (kernel != MD5_SCALAR && count > 1) {
        vector_many(kernel, jobs, count, taken);
        return;
    }
#endif
    (void)kernel;
    (void)taken;
    for (size_t i = 0; i < count; i++) md5_update(jobs[i].state, jobs[i].data, jobs[i].size);
}
