/* One pass over a piece of a stream: cut it, and name each chunk by keyed BLAKE3 while its bytes
 * are still in the cache. */
#ifndef SIDEGATE_INGEST_IMPL_H
#define SIDEGATE_INGEST_IMPL_H

#include "chunker_impl.h"

typedef struct {
    gear_rule rule;
    gear_state state;
    uint8_t key[32];
    int kernel;          /* of blake3_impl.h */
    uint8_t *carry;      /* rule.max bytes: the begun chunk, when it began in an earlier piece */
    size_t carried;      /* bytes in it */
} ingest_stream;

typedef struct {
    uint8_t id[32];
    size_t start; /* in the piece; for a chunk that began earlier, 0 and all of it is in carry */
    size_t end;
    int in_carry; /* only ever the first: its bytes are carry[0, end) */
} ingest_cut;

/* Find the chunks that end in the piece, and with `final` the last, unfinished one.
 * `cuts` has room for size / rule.min + 2. `*tail` is where the chunk that is still unfinished
 * begins in the piece. Only a chunk that ends here is written to carry. */
size_t ingest_feed(ingest_stream *stream, const uint8_t *data, size_t size, int final,
                   ingest_cut *cuts, size_t *tail);

#endif
