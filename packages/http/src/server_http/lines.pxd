cimport cython

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.unicode cimport PyUnicode_DecodeLatin1
from libc.string cimport memchr, memcpy
from server_http.fields cimport is_ascii

cdef extern from "Python.h":
    str PyUnicode_New(Py_ssize_t size, Py_UCS4 highest)
    void *PyUnicode_DATA(str text)

cdef int _FEW

cdef class FieldName:
    cdef readonly bytes spelling, lower
    cdef readonly str variable
    cdef readonly int kind
    cdef readonly unsigned char mark

@cython.locals(octets="const unsigned char *", size=Py_ssize_t)
cpdef unsigned char name_mark(bytes lower) except? 0

cdef class FieldLines:
    cdef bytes _octets
    cdef readonly list names
    cdef int _few[48]
    cdef int *_spans
    cdef Py_ssize_t _room
    cdef bint _ascii

    @cython.locals(count=Py_ssize_t)
    cpdef add(self, FieldName name, Py_ssize_t first, Py_ssize_t last)
    @cython.locals(size=Py_ssize_t, first=bint, spans="int *")
    cdef _grow(self)
    @cython.locals(octets="const unsigned char *")
    cpdef bytes value(self, Py_ssize_t index)
    @cython.locals(first=Py_ssize_t, size=Py_ssize_t, text=str)
    cpdef str text(self, Py_ssize_t index)
    @cython.locals(fields=list, name=FieldName, index=Py_ssize_t)
    cpdef list pairs(self)

@cython.locals(lines=FieldLines)
cpdef FieldLines field_lines(bytes octets)
@cython.locals(found="const unsigned char *")
cpdef Py_ssize_t find_octet(const unsigned char *octets, int octet, Py_ssize_t start, Py_ssize_t end) noexcept
