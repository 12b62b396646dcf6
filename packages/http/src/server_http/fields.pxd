cimport cython
from cpython.bytes cimport PyBytes_AS_STRING
from libc.string cimport memcpy

cdef extern from *:
    int __builtin_ctzll(unsigned long long bits) nogil

cdef bint _LITTLE_ENDIAN
cdef bytes _IS_VALUE, _IS_TARGET
cdef set _AUTHORITIES
cdef list _LATEST
cdef dict _ESCAPED
cdef int _ZERO, _NINE, _LENGTH_DIGITS, _AUTHORITY_OCTETS_MAX
cdef long long _LENGTH_MAX
cdef unsigned long long _ONES, _SPACES, _DELETES, _HIGHEST

cpdef bint is_token(value) except -1
@cython.locals(octets=bytes)
cpdef bint is_value(value) except -1
@cython.locals(is_value_octet="const unsigned char *", at=Py_ssize_t, eight="unsigned long long", deleted="unsigned long long",
               found="unsigned long long")
cpdef Py_ssize_t value_end(bytes octets, Py_ssize_t start, Py_ssize_t end) except -1
@cython.locals(start="const char *", size=Py_ssize_t, at=Py_ssize_t, eight="unsigned long long", seen="unsigned long long")
cpdef bint is_ascii(bytes octets) except -1
cpdef bint is_target(bytes value) except -1
cpdef bytes percent_decoded(bytes octets)
@cython.locals(length="long long")
cpdef long long content_length(value) except -2
cpdef check_authority(bytes value)
@cython.locals(size=Py_ssize_t)
cpdef long long decimal(value) except -2
@cython.locals(i=Py_ssize_t, total="unsigned long long")
cdef long long _decimal(const unsigned char *octets, Py_ssize_t size) noexcept

@cython.locals(i=Py_ssize_t)
cdef bint _only(const unsigned char *table, const unsigned char *octets, Py_ssize_t size) noexcept
