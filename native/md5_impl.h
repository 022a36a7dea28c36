/* MD5 (RFC 1321) over one stream, or over up to eight streams at once.
 *
 * A state is 88 bytes, holds no pointer and may be copied. Streams advance together in the eight
 * 32-bit lanes of a vector, each at its own place and for its own number of bytes; what a stream
 * hashes to never depends on its neighbours. No function here allocates, fails or touches Python.
 */
#ifndef SIDEGATE_MD5_IMPL_H
#define SIDEGATE_MD5_IMPL_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint32_t h[4];
    uint64_t length;  /* bytes so far; length % 64 of them wait in tail */
    uint8_t tail[64];
} md5_state;

/* One stream and the bytes it advances by. */
typedef struct {
    md5_state *state;
    const uint8_t *data;
    size_t size;
} md5_job;

/* Kernels, in ascending order of speed. Those that the machine lacks are refused by name. */
enum { MD5_SCALAR = 0, MD5_AVX2 = 1, MD5_AVX512VL = 2, MD5_KERNELS = 3 };

void md5_start(md5_state *state);
void md5_update(md5_state *state, const uint8_t *data, size_t size);
/* Write the digest of what came so far; the state stays as it was. */
void md5_finish(const md5_state *state, uint8_t out[16]);
/* Advance every job's state by its bytes. A state that occurs twice takes its bytes in the order
 * of the jobs. `taken` is scratch of `count` bytes, zero at the start. */
void md5_update_many(int kernel, const md5_job *jobs, size_t count, uint8_t *taken);
/* Whether this machine can run the kernel. */
int md5_can(int kernel);

#endif
