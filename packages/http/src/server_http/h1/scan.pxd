cimport cython

cdef bytes _IS_TOKEN
cdef bytes _IS_VALUE
cdef dict _NAMES
cdef int _COLON, _SPACE, _TAB, _CR, _LF

@cython.locals(octets="const unsigned char *", is_token_octet="const unsigned char *", is_value_octet="const unsigned char *",
               names=dict, entry=tuple, lines=Py_ssize_t, at=Py_ssize_t, line=Py_ssize_t, first=Py_ssize_t, last=Py_ssize_t)
cpdef Py_ssize_t walk_fields(bytes head, Py_ssize_t start, Py_ssize_t end, list fields, list special,
                             Py_ssize_t field_limit, Py_ssize_t count) except -1
cpdef Py_ssize_t split_fields(bytes head, Py_ssize_t start, Py_ssize_t end, list fields, list special,
                              Py_ssize_t field_limit, Py_ssize_t count) except -1
cdef tuple _learn(bytes name)
