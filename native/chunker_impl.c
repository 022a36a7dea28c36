#include "chunker_impl.h"

#include <string.h>

void gear_load(gear_rule *rule, const uint8_t table[GEAR_TABLE_SIZE]) {
    memcpy(rule->table, table, GEAR_TABLE_SIZE);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    for (int i = 0; i < 256; i++) rule->table[i] = __builtin_bswap64(rule->table[i]);
#endif
}

size_t gear_next(const gear_rule *rule, gear_state *state, const uint8_t *data, size_t size,
                 int *cut) {
    const uint64_t *const table = rule->table;
    const uint64_t threshold = rule->threshold;
    const size_t before = state->length;
    const uint8_t *p = data;
    const uint8_t *end = data + size;
    uint64_t hash = state->hash;

    *cut = 0;
    if (size >= rule->max - before) end = data + (rule->max - before);
    if (before < rule->min - GEAR_WINDOW) {
        const size_t skip = rule->min - GEAR_WINDOW - before;
        if (skip >= size) {
            state->length += size;
            return size;
        }
        p += skip;
    }
    if (before < rule->min - 1) {
        /* The byte that makes the chunk `min` long is the first to be tested. */
        const uint8_t *tested = data + (rule->min - 1 - before);
        if (tested > end) tested = end;
        while (p < tested) hash = (hash << 1) + table[*p++];
    }
#define GEAR_BYTE(i) \
    hash = (hash << 1) + table[p[i]]; \
    if (__builtin_expect(hash < threshold, 0)) { \
        p += (i) + 1; \
        goto found; \
    }
    while (end - p >= 8) {
        GEAR_BYTE(0)
        GEAR_BYTE(1)
        GEAR_BYTE(2)
        GEAR_BYTE(3)
        GEAR_BYTE(4)
        GEAR_BYTE(5)
        GEAR_BYTE(6)
        GEAR_BYTE(7)
        p += 8;
    }
    while (p < end) {
        GEAR_BYTE(0)
        p++;
    }
#undef GEAR_BYTE
    if (before + (size_t)(p - data) < rule->max) {
        state->hash = hash;
        state->length = before + (size_t)(p - data);
        return size;
    }
found:
    *cut = 1;
    state->hash = 0;
    state->length = 0;
    return (size_t)(p - data);
}
