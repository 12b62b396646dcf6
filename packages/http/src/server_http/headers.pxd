import cython

cdef class AddressSet:
    cdef readonly bint every
    cdef frozenset _hosts
    cdef tuple _networks
    cdef bint _wide

    @cython.locals(host=str)
    cpdef bint has(self, address) except -1
    cdef bint _within(self, str address) except -1

cdef class Watched:
    cdef frozenset _names
    cdef bytes _initials

    @cython.locals(name=bytes, found=list, octets="const unsigned char *", initials="const unsigned char *")
    cpdef list among(self, list headers)
