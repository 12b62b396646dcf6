cimport cython
from server_http.events cimport Request
from server_http.lines cimport FieldLines, FieldName, name_mark

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

    @cython.locals(lines=FieldLines, headers=list, found=list, item=tuple, names=frozenset, name=bytes, marks="const unsigned char *")
    cpdef list of(self, Request request)
    @cython.locals(found=list, name=FieldName, marks="const unsigned char *", index=Py_ssize_t)
    cdef list _among(self, FieldLines lines)

cdef class AppliedPolicy:
    cdef str _header_map, _forwarded_header, _mount
    cdef dict _schemes
    cdef frozenset _forwarders, _withheld
    cdef Watched _watched
    cdef long long _hops
    cdef readonly bint always

    @cython.locals(fields=list)
    cpdef apply(self, Request request, bint trusted, bint underscored)
    cdef list _screened(self, headers, bint trusted)
    @cython.locals(name=bytes, value=bytes)
    cdef str _believe(self, Request request, list fields)
    @cython.locals(name=bytes, value=bytes, secure=bytes, scheme=str, said=str)
    cdef str _said_scheme(self, list fields)
