cdef object _last_data
cdef int _TCP, _TCP_INFO, _INFO_OCTETS
cdef bint _LINUX

cpdef bint is_timed(info) except -1

cdef class Arrivals:
    cdef public double due

    cpdef double waited(self, sock, double now) except -1
