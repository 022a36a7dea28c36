"""Keyed BLAKE3 in one shot."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t

cdef extern from "blake3_impl.h" nogil:
    enum:
        BLAKE3_KERNELS
    void blake3_keyed(
        int kernel, const uint8_t *key, const uint8_t *data, size_t size, uint8_t *out
    )
    int blake3_can(int kernel)
    int blake3_best()

# Below this many bytes, handing over the interpreter lock costs more than the work.
cdef Py_ssize_t NOGIL_MIN = 16384

NAMES = ("portable", "avx2", "avx512")
cdef int chosen = blake3_best()


def kernels():
    return tuple(NAMES[i] for i in range(BLAKE3_KERNELS) if blake3_can(i))


def kernel():
    return NAMES[chosen]


def select(str name):
    global chosen
    if name not in kernels():
        raise ValueError(f"this machine has no BLAKE3 kernel {name!r}, only {kernels()}")
    chosen = NAMES.index(name)


def keyed(bytes key not None, data):
    cdef Py_buffer view
    cdef uint8_t out[32]
    cdef const uint8_t *secret = key
    if len(key) != 32:
        raise ValueError(f"a BLAKE3 key has 32 bytes, not {len(key)}")
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        if view.len < NOGIL_MIN:
            blake3_keyed(chosen, secret, <const uint8_t *>view.buf, view.len, out)
        else:
            with nogil:
                blake3_keyed(chosen, secret, <const uint8_t *>view.buf, view.len, out)
    finally:
        PyBuffer_Release(&view)
    return PyBytes_FromStringAndSize(<char *>out, 32)
