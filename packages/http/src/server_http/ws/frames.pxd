cimport cython

cpdef bytes unmask(bytes data, Py_ssize_t start, Py_ssize_t size, bytes mask, Py_ssize_t phase)
cpdef bytes frame(int first, bytes payload)

@cython.locals(
    first=cython.uchar, second=cython.uchar, third=cython.uchar, fourth=cython.uchar, whole=Py_ssize_t, i=Py_ssize_t
)
cdef void _xor(
    const unsigned char *source, Py_ssize_t start, unsigned char *target, Py_ssize_t size, const unsigned char *mask,
    Py_ssize_t phase
) noexcept
