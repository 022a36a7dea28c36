#include "index_impl.h"

#include <sched.h>
#include <string.h>

#define BATCH 32      /* probes in flight: what memory can fetch at once, and a little more */
#define SPINS 2000    /* a writer is at a slot for nanoseconds: after so many looks, wait in turn */
#define YIELDS 20000  /* and after so many turns it is dead */

_Static_assert(sizeof(index_slot) == 32, "the slot is a format");

static inline uint32_t native32(uint32_t x) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return __builtin_bswap32(x);
#else
    return x;
#endif
}

static inline uint64_t native64(uint64_t x) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return __builtin_bswap64(x);
#else
    return x;
#endif
}

/* Slot where the probe of a prefix begins: Fibonacci hashing, so that the high bits count. */
static inline uint64_t home(const uint8_t prefix[INDEX_PREFIX], uint64_t slots) {
    uint64_t a, b;
    memcpy(&a, prefix, 8);
    memcpy(&b, prefix + 8, 8);
    a = native64(a);
    b = native64(b);
    const uint64_t mixed = (a ^ b) * UINT64_C(0x9e3779b97f4a7c15);
    return slots == 1 ? 0 : mixed >> (64 - __builtin_ctzll(slots));
}

/* Read a slot as of one moment: 1 when it holds an entry, 0 when it is empty, -1 when given up. */
static int read_slot(index_slot *slot, index_entry *into) {
    for (int look = 0; look < SPINS + YIELDS; look++) {
        const uint32_t before = __atomic_load_n(&slot->stamp, __ATOMIC_ACQUIRE);
        if (before == 0) return 0;
        if (native32(before) % 2 == 0) {
            memcpy(into->prefix, slot->prefix, INDEX_PREFIX);
            const uint64_t place = native64(__atomic_load_n(&slot->place, __ATOMIC_RELAXED));
            into->segment = (uint32_t)place;
            into->offset = (uint32_t)(place >> 32);
            into->length = native32(__atomic_load_n(&slot->length, __ATOMIC_RELAXED));
            __atomic_thread_fence(__ATOMIC_ACQUIRE);
            if (__atomic_load_n(&slot->stamp, __ATOMIC_RELAXED) == before) return 1;
        }
        if (look >= SPINS) sched_yield();
    }
    return -1;
}

static void get_one(index_slot *table, uint64_t slots, uint64_t at, index_entry *entry) {
    index_entry seen;
    entry->found = 0;
    for (uint64_t probe = 0; probe < slots; probe++, at = (at + 1) & (slots - 1)) {
        const int state = read_slot(&table[at], &seen);
        if (state == 0) return;
        if (state < 0 || memcmp(seen.prefix, entry->prefix, INDEX_PREFIX) != 0) continue;
        entry->segment = seen.segment;
        entry->offset = seen.offset;
        entry->length = seen.length;
        entry->found = 1;
        return;
    }
}

void index_get(index_slot *table, uint64_t slots, index_entry *entries, size_t count) {
    uint64_t homes[BATCH];
    for (size_t from = 0; from < count; from += BATCH) {
        const size_t batch = count - from < BATCH ? count - from : BATCH;
        for (size_t i = 0; i < batch; i++) {
            homes[i] = home(entries[from + i].prefix, slots);
            __builtin_prefetch(&table[homes[i]], 0);
        }
        for (size_t i = 0; i < batch; i++) get_one(table, slots, homes[i], &entries[from + i]);
    }
}

/* Place one entry; 1 when it is new, 0 when it overwrites, -1 when there is no room. Only one
 * writer comes here, so a slot that is odd was left by one that died: it is taken over. */
static int put_one(index_slot *table, uint64_t slots, uint64_t at, const index_entry *entry) {
    const uint64_t place = native64((uint64_t)entry->offset << 32 | entry->segment);
    const uint32_t length = native32(entry->length);
    for (uint64_t probe = 0; probe < slots; probe++, at = (at + 1) & (slots - 1)) {
        index_slot *slot = &table[at];
        const uint32_t stamp = native32(slot->stamp);
        const int fresh = stamp == 0;
        if (!fresh && memcmp(slot->prefix, entry->prefix, INDEX_PREFIX) != 0) continue;
        if (fresh) {
            memcpy(slot->prefix, entry->prefix, INDEX_PREFIX);
        } else if (stamp % 2 == 0 && slot->length == length) {
            /* The rule: content named by its id keeps its length, and one store moves it. */
            __atomic_store_n(&slot->place, place, __ATOMIC_RELEASE);
            return 0;
        } else {
            __atomic_store_n(&slot->stamp, native32(stamp | 1), __ATOMIC_RELAXED);
            __atomic_thread_fence(__ATOMIC_RELEASE);
        }
        uint32_t next = (stamp | 1) + 1;
        if (next == 0) next = 2; /* it wrapped; 0 would mean empty */
        __atomic_store_n(&slot->place, place, __ATOMIC_RELAXED);
        __atomic_store_n(&slot->length, length, __ATOMIC_RELAXED);
        __atomic_store_n(&slot->stamp, native32(next), __ATOMIC_RELEASE);
        return fresh;
    }
    return -1;
}

int64_t index_put(index_slot *table, uint64_t slots, const index_entry *entries, size_t count) {
    uint64_t homes[BATCH];
    int64_t fresh = 0;
    for (size_t from = 0; from < count; from += BATCH) {
        const size_t batch = count - from < BATCH ? count - from : BATCH;
        for (size_t i = 0; i < batch; i++) {
            homes[i] = home(entries[from + i].prefix, slots);
            __builtin_prefetch(&table[homes[i]], 1);
        }
        for (size_t i = 0; i < batch; i++) {
            const int placed = put_one(table, slots, homes[i], &entries[from + i]);
            if (placed < 0) return -1;
            fresh += placed;
        }
    }
    return fresh;
}

int64_t index_rehash(index_slot *from, uint64_t from_slots, index_slot *to, uint64_t to_slots) {
    index_entry batch[BATCH];
    size_t held = 0;
    int64_t moved = 0;
    for (uint64_t at = 0; at <= from_slots; at++) {
        if (held == BATCH || (at == from_slots && held > 0)) {
            const int64_t fresh = index_put(to, to_slots, batch, held);
            if (fresh < 0) return -1;
            moved += fresh;
            held = 0;
        }
        if (at == from_slots || read_slot(&from[at], &batch[held]) != 1) continue;
        held++;
    }
    return moved;
}

uint64_t index_count(const index_slot *table, uint64_t slots) {
    uint64_t count = 0;
    for (uint64_t at = 0; at < slots; at++) count += table[at].stamp != 0;
    return count;
}
