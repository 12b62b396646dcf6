cimport cython

cdef bytes _IS_VALUE, _IS_TARGET
cdef set _AUTHORITIES
cdef list _LATEST
cdef int _ZERO, _NINE, _LENGTH_DIGITS, _AUTHORITY_OCTETS_MAX
cdef long long _LENGTH_MAX

cpdef bint is_token(value) except -1
cpdef bint is_value(value) except -1
cpdef bint is_target(bytes value) except -1
cpdef check_authority(bytes value)
@cython.locals(size=Py_ssize_t)
cpdef long long decimal(value) except -2
@cython.locals(i=Py_ssize_t, total="unsigned long long")
cdef long long _decimal(const unsigned char *octets, Py_ssize_t size) noexcept

@cython.locals(i=Py_ssize_t)
cdef bint _only(const unsigned char *table, const unsigned char *octets, Py_ssize_t size) noexcept
