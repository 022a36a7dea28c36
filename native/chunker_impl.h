/* Content-defined cuts by a keyed Gear hash; docs/formats/chunker.md is the specification.
 *
 * A chunk of at least `min` and at most `max` bytes ends after the first byte at which the hash
 * of the last 64 bytes is below `threshold`. The state is carried from buffer to buffer, so cuts
 * do not depend on how a stream was split.
 */
#ifndef SIDEGATE_CHUNKER_IMPL_H
#define SIDEGATE_CHUNKER_IMPL_H

#include <stddef.h>
#include <stdint.h>

#define GEAR_WINDOW 64 /* bytes that bear on the hash: each is shifted out after 64 more */
#define GEAR_TABLE_SIZE (256 * 8)

typedef struct {
    uint64_t table[256];
    size_t min; /* at least GEAR_WINDOW */
    size_t max; /* at least min */
    uint64_t threshold;
} gear_rule;

typedef struct {
    uint64_t hash;
    size_t length; /* bytes of the unfinished chunk */
} gear_state;

/* Read the table from 256 little-endian words of 64 bits. */
void gear_load(gear_rule *rule, const uint8_t table[GEAR_TABLE_SIZE]);
/* Scan until a chunk ends or the bytes do. Returns how many bytes belong to the current chunk;
 * `*cut` tells whether it ended there, and then the state is that of a new chunk. */
size_t gear_next(const gear_rule *rule, gear_state *state, const uint8_t *data, size_t size,
                 int *cut);

#endif
