import cython
from cpython.contextvars cimport PyContext_Enter, PyContext_Exit

cdef int IDLE_MAX
cdef bint _COUNTS_CANCELS

cdef class Lanes:
    cdef public object app, loop, _starter
    cdef object _task_factory
    cdef public list idle
    cdef public bint closed, _kept
    cdef long _count

    @cython.locals(lane=Lane)
    cpdef start(self, channel)
    cdef make(self, Lane lane, channel)

cdef class Lane:
    cdef public object task, channel
    cdef public bint _asyncio_future_blocking
    cdef Lanes _lanes
    cdef object _step, _context, _before
    cdef Py_ssize_t _held
    cdef bint _cancelled

    cdef resume(self, channel, name)
    cdef running(self)
    cpdef enter(self)
    cpdef bint leave(self, bint waited) except -1
    @cython.locals(idle=list)
    cdef bint _untouched(self, Py_ssize_t held) except -1
