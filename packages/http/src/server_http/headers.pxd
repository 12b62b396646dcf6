cimport cython
from server_http.events cimport Request

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
    cdef bytes _marks

    @cython.locals(found=list, name=bytes, octets="const unsigned char *", marks="const unsigned char *")
    cpdef list among(self, list headers)

cdef _apply_fields(policy, Request request, list fields)
cdef _said_scheme(policy, list fields)
