"""MD5 of one stream, and of up to eight streams in the lanes of one vector."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memset

cdef extern from "md5_impl.h" nogil:
    ctypedef struct md5_state:
        uint64_t length
    ctypedef struct md5_job:
        md5_state *state
        const uint8_t *data
        size_t size
    enum:
        MD5_SCALAR
        MD5_KERNELS
    void md5_start(md5_state *state)
    void md5_update(md5_state *state, const uint8_t *data, size_t size)
    void md5_finish(const md5_state *state, uint8_t *out)
    void md5_update_many(int kernel, const md5_job *jobs, size_t count, uint8_t *taken)
    int md5_can(int kernel)

# Below this many bytes, handing over the interpreter lock costs more than the work.
cdef Py_ssize_t NOGIL_MIN = 16384

NAMES = ("scalar", "avx2", "avx512vl")
cdef int chosen = MD5_SCALAR


def kernels():
    return tuple(NAMES[i] for i in range(MD5_KERNELS) if md5_can(i))


def kernel():
    return NAMES[chosen]


def select(str name):
    global chosen
    if name not in kernels():
        raise ValueError(f"this machine has no MD5 kernel {name!r}, only {kernels()}")
    chosen = NAMES.index(name)


chosen = NAMES.index(kernels()[len(kernels()) - 1])


cdef class Md5:
    cdef md5_state state

    def __cinit__(self):
        md5_start(&self.state)

    def update(self, data):
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            if view.len < NOGIL_MIN:
                md5_update(&self.state, <const uint8_t *>view.buf, view.len)
            else:
                with nogil:
                    md5_update(&self.state, <const uint8_t *>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    def digest(self):
        cdef uint8_t out[16]
        md5_finish(&self.state, out)
        return PyBytes_FromStringAndSize(<char *>out, 16)

    @property
    def length(self):
        return self.state.length


def update_lanes(jobs):
    cdef list pairs = list(jobs)
    cdef Py_ssize_t count = len(pairs), held = 0, i
    cdef Py_ssize_t total = 0
    cdef Py_buffer *views = NULL
    cdef md5_job *work = NULL
    cdef uint8_t *taken = NULL
    cdef Md5 state
    if count == 0:
        return
    try:
        views = <Py_buffer *>PyMem_Malloc(count * sizeof(Py_buffer))
        work = <md5_job *>PyMem_Malloc(count * sizeof(md5_job))
        taken = <uint8_t *>PyMem_Malloc(count)
        if views == NULL or work == NULL or taken == NULL:
            raise MemoryError
        memset(taken, 0, count)
        for i in range(count):
            state, data = pairs[i]
            if state is None:
                raise TypeError("a job is an Md5 and its bytes, not None")
            PyObject_GetBuffer(data, &views[i], PyBUF_SIMPLE)
            held += 1
            work[i].state = &state.state
            work[i].data = <const uint8_t *>views[i].buf
            work[i].size = views[i].len
            total += views[i].len
        if total < NOGIL_MIN:
            md5_update_many(chosen, work, count, taken)
        else:
            with nogil:
                md5_update_many(chosen, work, count, taken)
    finally:
        for i in range(held):
            PyBuffer_Release(&views[i])
        PyMem_Free(views)
        PyMem_Free(work)
        PyMem_Free(taken)
