import cython

cdef object BytesIO

cdef class SpoolBudget:
    cdef public long long total, used
    cdef public object directory, shortage
    cdef object _lock

    cpdef bint take(self, long long octets) except -1
    cpdef release(self, long long octets)

cdef class Spool:
    cdef public SpoolBudget budget
    cdef public object file
    cdef public long long size

    @cython.locals(size="long long", written="long long")
    cpdef bint write(self, data) except -1
    cpdef close(self)

cdef class CollectedBody:
    cdef long long _memory, _limit
    cdef SpoolBudget _budget
    cdef object _parts, _stream
    cdef Spool _spool
    cdef public long long size

    @cython.locals(size="long long")
    cpdef int write(self, data) except -1
    cdef bint _write_spool(self, data) except -1
    cpdef input(self)
    cpdef close(self)
