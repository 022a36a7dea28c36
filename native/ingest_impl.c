#include "ingest_impl.h"

#include <string.h>

#include "blake3_impl.h"

size_t ingest_feed(ingest_stream *stream, const uint8_t *data, size_t size, int final,
                   ingest_cut *cuts, size_t *tail) {
    size_t count = 0, start = 0, at = 0;
    size_t carried = stream->carried;
    for (;;) {
        int cut = 0;
        if (at < size)
            at += gear_next(&stream->rule, &stream->state, data + at, size - at, &cut);
        if (!cut && !(final && at == size && carried + (at - start) > 0)) break;
        ingest_cut *found = &cuts[count++];
        const uint8_t *bytes = data + start;
        found->start = start;
        found->end = at;
        found->in_carry = carried > 0;
        if (carried > 0) {
            if (at > start) memcpy(stream->carry + carried, data + start, at - start);
            bytes = stream->carry;
            found->start = 0;
            found->end = carried + (at - start);
            carried = 0;
        }
        blake3_keyed(stream->kernel, stream->key, bytes, found->end - found->start, found->id);
        start = at;
    }
    if (count > 0) stream->carried = 0;
    if (final) stream->state = (gear_state){0};
    *tail = start;
    return count;
}
