import cython
from cpython.pythread cimport (
    NOWAIT_LOCK, WAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock,
    PyThread_get_thread_ident, PyThread_release_lock, PyThread_type_lock,
)

cdef class Turn:
    cdef long _owner
    cdef int _depth
    cdef PyThread_type_lock _lock

    @cython.locals(thread=cython.long, lock=PyThread_type_lock)
    cpdef bint acquire(self, bint blocking=*) except -1
    cpdef release(self)

