import cython

cdef class Watched:
    cdef frozenset _names
    cdef bytes _initials

    @cython.locals(name=bytes, found=list, octets="const unsigned char *", initials="const unsigned char *")
    cpdef list among(self, list headers)
