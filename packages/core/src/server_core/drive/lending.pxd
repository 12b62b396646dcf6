cdef class LentSocket:
    cdef object _session, _sock

    cpdef int fileno(self) except? -1
