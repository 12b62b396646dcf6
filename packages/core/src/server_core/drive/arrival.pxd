cdef class Arrivals:
    cdef public double due

    cpdef double waited(self, sock, double now) except -1
