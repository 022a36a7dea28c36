"""Cuts and chunk ids of a stream, in one pass over each piece of it."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

cdef extern from "chunker_impl.h" nogil:
    int GEAR_WINDOW
    int GEAR_TABLE_SIZE
    ctypedef struct gear_rule:
        size_t min
        size_t max
        uint64_t threshold
    void gear_load(gear_rule *rule, const uint8_t *table)

cdef extern from "blake3_impl.h" nogil:
    int blake3_best()

cdef extern from "ingest_impl.h" nogil:
    ctypedef struct ingest_stream:
        gear_rule rule
        uint8_t key[32]
        int kernel
        uint8_t *carry
        size_t carried
    ctypedef struct ingest_cut:
        uint8_t id[32]
        size_t start
        size_t end
        int in_carry
    size_t ingest_feed(
        ingest_stream *stream, const uint8_t *data, size_t size, int final, ingest_cut *cuts,
        size_t *tail
    )


cdef class Stream:
    cdef ingest_stream stream
    cdef object carry  # bytearray of rule.max bytes, from the first release that needs one
    cdef object view  # the piece that was fed, until it is released
    cdef size_t tail
    cdef bint busy  # a call is under way in some thread

    def __init__(
        self, bytes table not None, bytes key not None, size_t size_min, size_t size_max,
        uint64_t threshold,
    ):
        if len(table) != GEAR_TABLE_SIZE:
            raise ValueError(f"a gear table has {GEAR_TABLE_SIZE} bytes, not {len(table)}")
        if len(key) != 32:
            raise ValueError(f"a BLAKE3 key has 32 bytes, not {len(key)}")
        if not GEAR_WINDOW <= size_min <= size_max:
            raise ValueError(f"sizes must satisfy {GEAR_WINDOW} <= min <= max")
        gear_load(&self.stream.rule, <const uint8_t *>table)
        self.stream.rule.min = size_min
        self.stream.rule.max = size_max
        self.stream.rule.threshold = threshold
        memcpy(self.stream.key, <const uint8_t *>key, 32)
        self.stream.kernel = blake3_best()

    @property
    def pending(self):
        cdef size_t fed = 0
        if self.view is not None:
            fed = <size_t>len(self.view) - self.tail
        return self.stream.carried + fed

    def feed(self, view, bint final):
        cdef Py_buffer raw
        cdef ingest_cut *cuts = NULL
        cdef ingest_cut *cut
        cdef size_t count = 0, i
        if self.busy:
            raise RuntimeError("a stream serves one call at a time")
        if self.view is not None:
            raise RuntimeError("release the piece that was fed before the next")
        view = memoryview(view).cast("B")
        PyObject_GetBuffer(view, &raw, PyBUF_SIMPLE)
        try:
            # One chunk may have begun before this piece, and one may be the last, short one.
            cuts = <ingest_cut *>PyMem_Malloc(
                (raw.len // self.stream.rule.min + 2) * sizeof(ingest_cut)
            )
            if cuts == NULL:
                raise MemoryError
            self.busy = True
            with nogil:
                count = ingest_feed(
                    &self.stream, <const uint8_t *>raw.buf, raw.len, final, cuts, &self.tail
                )
            self.view = view
            found = []
            for i in range(count):
                cut = &cuts[i]
                whole = memoryview(self.carry) if cut.in_carry else view
                found.append((
                    PyBytes_FromStringAndSize(<char *>cut.id, 32), whole[cut.start:cut.end]
                ))
            return found
        finally:
            self.busy = False
            PyMem_Free(cuts)
            PyBuffer_Release(&raw)

    def release(self):
        cdef Py_buffer raw
        cdef size_t rest
        if self.busy:
            raise RuntimeError("a stream serves one call at a time")
        if self.view is None:
            return
        PyObject_GetBuffer(self.view, &raw, PyBUF_SIMPLE)
        try:
            rest = <size_t>raw.len - self.tail
            if rest > 0:
                if self.carry is None:
                    self.carry = PyByteArray_FromStringAndSize(NULL, self.stream.rule.max)
                    self.stream.carry = <uint8_t *>PyByteArray_AS_STRING(self.carry)
                memcpy(
                    self.stream.carry + self.stream.carried,
                    <const uint8_t *>raw.buf + self.tail,
                    rest,
                )
                self.stream.carried += rest
        finally:
            PyBuffer_Release(&raw)
        self.view = None
        self.tail = 0
