import cython

cdef object _last_data
cdef int _TCP, _TCP_INFO, _INFO_OCTETS
cdef bint _LINUX
cdef double SLEPT_SECONDS, CLOSE_SECONDS

cpdef bint is_timed(info) except -1

cdef class Arrivals:
    cdef public double due
    cdef public bint close
    cdef double _since, _woke

    @cython.locals(since=cython.double)
    cpdef polled(self, double called, double woke, bint behind)
    cpdef double reported(self, double now) except -1
    cpdef double waited(self, sock, double now) except -1
