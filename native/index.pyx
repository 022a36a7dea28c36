"""A hash table from 16-byte prefixes of ids to places, over a buffer that is given."""

from cpython.buffer cimport (
    PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from "index_impl.h" nogil:
    int INDEX_PREFIX
    ctypedef struct index_slot:
        uint32_t stamp
    ctypedef struct index_entry:
        uint8_t prefix[16]
        uint32_t segment
        uint32_t offset
        uint32_t length
        int found
    void index_get(index_slot *table, uint64_t slots, index_entry *entries, size_t count)
    int64_t index_put(
        index_slot *table, uint64_t slots, const index_entry *entries, size_t count
    )
    int64_t index_rehash(
        index_slot *source, uint64_t from_slots, index_slot *to, uint64_t to_slots
    )
    uint64_t index_count(const index_slot *table, uint64_t slots)

SLOT_SIZE = sizeof(index_slot)


cdef int name_entry(index_entry *entry, object id_) except -1:
    if type(id_) is not bytes:
        raise TypeError(f"an id is bytes, not {type(id_).__name__}")
    if PyBytes_GET_SIZE(id_) < INDEX_PREFIX:
        raise ValueError(f"an id has {INDEX_PREFIX} bytes or more, not {len(id_)}")
    memcpy(entry.prefix, PyBytes_AS_STRING(id_), INDEX_PREFIX)
    return 0


cdef class Table:
    cdef Py_buffer view
    cdef index_slot *table
    cdef uint64_t slots
    cdef bint writable
    cdef bint held  # the buffer is exported to us

    def __init__(self, buffer, size_t start, uint64_t slots, bint writable):
        if self.held:
            raise RuntimeError("a table is made once")
        if slots == 0 or slots & (slots - 1) or slots > (1 << 40):
            raise ValueError(f"{slots} is not a number of slots: it must be a power of two")
        PyObject_GetBuffer(buffer, &self.view, PyBUF_WRITABLE if writable else PyBUF_SIMPLE)
        if start % SLOT_SIZE or <size_t>self.view.len != start + slots * sizeof(index_slot):
            size = self.view.len
            PyBuffer_Release(&self.view)
            raise ValueError(f"{size} bytes do not hold {slots} slots behind byte {start}")
        if (<size_t>self.view.buf + start) % 8:
            PyBuffer_Release(&self.view)
            raise ValueError("slots begin at a multiple of 8 bytes")
        self.held = True
        self.table = <index_slot *>(<uint8_t *>self.view.buf + start)
        self.slots = slots
        self.writable = writable

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.view)

    @property
    def capacity(self):
        return self.slots

    def get_many(self, ids):
        cdef list names = list(ids)
        cdef Py_ssize_t count = len(names), i
        cdef index_entry few[32]
        cdef index_entry *entries = few
        cdef list found = [None] * count
        if count > 32:
            entries = <index_entry *>PyMem_Malloc(count * sizeof(index_entry))
            if entries == NULL:
                raise MemoryError
        try:
            for i in range(count):
                name_entry(&entries[i], names[i])
            index_get(self.table, self.slots, entries, count)
            for i in range(count):
                if entries[i].found:
                    found[i] = (entries[i].segment, entries[i].offset, entries[i].length)
            return found
        finally:
            if entries != few:
                PyMem_Free(entries)

    def get(self, id_):
        cdef index_entry entry
        name_entry(&entry, id_)
        index_get(self.table, self.slots, &entry, 1)
        return (entry.segment, entry.offset, entry.length) if entry.found else None

    def put_many(self, ids, locations):
        cdef list names = list(ids)
        cdef list places = list(locations)
        cdef Py_ssize_t count = len(names), i
        cdef index_entry *entries = NULL
        cdef int64_t fresh
        if not self.writable:
            raise TypeError("the table is open for reading only")
        if len(places) != count:
            raise ValueError(f"{count} ids, but {len(places)} locations")
        if count == 0:
            return 0
        entries = <index_entry *>PyMem_Malloc(count * sizeof(index_entry))
        if entries == NULL:
            raise MemoryError
        try:
            for i in range(count):
                name_entry(&entries[i], names[i])
                segment, offset, length = places[i]
                entries[i].segment = segment
                entries[i].offset = offset
                entries[i].length = length
            fresh = index_put(self.table, self.slots, entries, count)
        finally:
            PyMem_Free(entries)
        if fresh < 0:
            raise ValueError("the table is full")
        return fresh

    def copy_into(self, Table other not None):
        cdef int64_t moved
        if not other.writable:
            raise TypeError("the other table is open for reading only")
        with nogil:
            moved = index_rehash(self.table, self.slots, other.table, other.slots)
        if moved < 0:
            raise ValueError("the other table is full")
        return moved

    def count(self):
        cdef uint64_t used
        with nogil:
            used = index_count(self.table, self.slots)
        return used
