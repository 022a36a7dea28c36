/* A hash table in shared memory from 16 bytes of an id to a place; docs/formats/index.md.
 *
 * Open addressing with linear probing over 32-byte slots. One writer, any number of readers in any
 * number of processes, without locks: a slot is published by its stamp, and moved by one store of
 * eight bytes. Nothing is ever removed, so a probe may end at the first empty slot.
 */
#ifndef SIDEGATE_INDEX_IMPL_H
#define SIDEGATE_INDEX_IMPL_H

#include <stddef.h>
#include <stdint.h>

#define INDEX_PREFIX 16

typedef struct {
    uint8_t prefix[INDEX_PREFIX];
    uint64_t place; /* segment, and offset in the upper half */
    uint32_t length;
    uint32_t stamp; /* 0 empty; odd while the length changes; else 2 more at each such change */
} index_slot;

typedef struct {
    uint8_t prefix[INDEX_PREFIX];
    uint32_t segment;
    uint32_t offset;
    uint32_t length;
    int found;
} index_entry;

/* Look up `count` entries by prefix; `slots` is a power of two. A slot that stays odd, because a
 * writer died at it, counts as absent: the table is a cache. No other slot is ever unreadable. */
void index_get(index_slot *table, uint64_t slots, index_entry *entries, size_t count);
/* Insert or overwrite; returns how many are new, or -1 when the table is full. */
int64_t index_put(index_slot *table, uint64_t slots, const index_entry *entries, size_t count);
/* Put every entry of one table into another, which must have room; returns how many, or -1. */
int64_t index_rehash(index_slot *from, uint64_t from_slots, index_slot *to, uint64_t to_slots);
/* Count the slots in use. */
uint64_t index_count(const index_slot *table, uint64_t slots);

#endif
