cimport cython

cpdef bint is_token(value) except -1
cpdef bint is_value(value) except -1

@cython.locals(table="const unsigned char *", i=Py_ssize_t)
cdef bint _only_value_octets(const unsigned char *octets, Py_ssize_t size) noexcept
