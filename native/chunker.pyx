"""Content-defined cuts of a stream, without hashing it."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint8_t, uint64_t

cdef extern from "chunker_impl.h" nogil:
    int GEAR_WINDOW
    int GEAR_TABLE_SIZE
    ctypedef struct gear_rule:
        size_t min
        size_t max
        uint64_t threshold
    ctypedef struct gear_state:
        size_t length
    void gear_load(gear_rule *rule, const uint8_t *table)
    size_t gear_next(
        const gear_rule *rule, gear_state *state, const uint8_t *data, size_t size, int *cut
    )


cdef size_t scan(
    const gear_rule *rule, gear_state *state, const uint8_t *data, size_t size, size_t *ends
) noexcept nogil:
    """Write the offsets behind the chunks that end in `data`; return how many."""
    cdef size_t at = 0, count = 0
    cdef int cut = 0
    while at < size:
        at += gear_next(rule, state, data + at, size - at, &cut)
        if cut:
            ends[count] = at
            count += 1
    return count


cdef class Scanner:
    cdef gear_rule rule
    cdef gear_state state

    def __init__(self, bytes table not None, size_t size_min, size_t size_max, uint64_t threshold):
        if len(table) != GEAR_TABLE_SIZE:
            raise ValueError(f"a gear table has {GEAR_TABLE_SIZE} bytes, not {len(table)}")
        if not GEAR_WINDOW <= size_min <= size_max:
            raise ValueError(f"sizes must satisfy {GEAR_WINDOW} <= min <= max")
        gear_load(&self.rule, <const uint8_t *>table)
        self.rule.min = size_min
        self.rule.max = size_max
        self.rule.threshold = threshold

    @property
    def pending(self):
        return self.state.length

    def feed(self, data):
        cdef Py_buffer view
        cdef size_t *ends = NULL
        cdef size_t count = 0, i
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            # One chunk may have begun before this view; every other is at least min long.
            ends = <size_t *>PyMem_Malloc((view.len // self.rule.min + 2) * sizeof(size_t))
            if ends == NULL:
                raise MemoryError
            with nogil:
                count = scan(
                    &self.rule, &self.state, <const uint8_t *>view.buf, view.len, ends
                )
            return [ends[i] for i in range(count)]
        finally:
            PyMem_Free(ends)
            PyBuffer_Release(&view)
