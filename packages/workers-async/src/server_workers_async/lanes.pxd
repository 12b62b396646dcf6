import cython
from cpython.contextvars cimport PyContext_Enter, PyContext_Exit

cdef int IDLE_MAX
cdef bint _COUNTS_CANCELS

cdef class Lanes:
    cdef public object app, loop, _starter
    cdef object _task_factory
    cdef public list idle
    cdef public set tasks
    cdef public bint closed, _kept
    cdef long _count

    @cython.locals(lane=Lane)
    cpdef start(self, channel)
    cdef _keep(self, channel, task)
    cdef make(self, Lane lane, channel)

cdef class Lane:
    cdef public object task, channel, step, context, get_loop
    cdef public bint _asyncio_future_blocking
    cdef Lanes _lanes
    cdef object _before
    cdef Py_ssize_t _held, _variables
    cdef bint _cancelled

    cpdef enter(self)
    @cython.locals(idle=list, variables=Py_ssize_t)
    cpdef bint leave(self, bint waited) except -1
