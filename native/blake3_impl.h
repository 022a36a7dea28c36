/* Keyed BLAKE3 in one shot, from the BLAKE3 specification (2.1 to 2.6, keyed_hash mode).
 *
 * Chunks of 1 KiB are compressed side by side in the lanes of vectors, and so are the parents of
 * each level of the tree. No function here allocates, fails or touches Python.
 */
#ifndef SIDEGATE_BLAKE3_IMPL_H
#define SIDEGATE_BLAKE3_IMPL_H

#include <stddef.h>
#include <stdint.h>

/* Kernels, in ascending order of speed. */
enum { BLAKE3_PORTABLE = 0, BLAKE3_AVX2 = 1, BLAKE3_AVX512 = 2, BLAKE3_KERNELS = 3 };

/* Hash `size` bytes under a key of 32 bytes to 32 bytes. */
void blake3_keyed(int kernel, const uint8_t key[32], const uint8_t *data, size_t size,
                  uint8_t out[32]);
/* Whether this machine can run the kernel. */
int blake3_can(int kernel);
/* The fastest kernel that this machine can run. */
int blake3_best(void);

#endif
