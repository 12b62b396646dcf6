cimport cython

cdef bytes _IS_VALUE, _IS_TARGET
cdef set _AUTHORITIES

cpdef bint is_token(value) except -1
cpdef bint is_value(value) except -1
cpdef bint is_target(bytes value) except -1
cpdef check_authority(bytes value)

@cython.locals(i=Py_ssize_t)
cdef bint _only(const unsigned char *table, const unsigned char *octets, Py_ssize_t size) noexcept
