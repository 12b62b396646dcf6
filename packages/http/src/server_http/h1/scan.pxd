cimport cython

cdef bytes _IS_TOKEN, _IS_VALUE
cdef dict _NAMES
cdef list _RECENT
cdef int _COLON, _SPACE, _TAB, _CR, _LF, _SLOTS, _NAME_OCTETS_MAX

@cython.locals(octets="const unsigned char *", is_token_octet="const unsigned char *", is_value_octet="const unsigned char *",
               entry=tuple, slot="unsigned int", lines=Py_ssize_t, at=Py_ssize_t, line=Py_ssize_t, first=Py_ssize_t,
               last=Py_ssize_t, kind=int)
cpdef Py_ssize_t walk_fields(bytes head, Py_ssize_t start, Py_ssize_t end, list fields, list special,
                             Py_ssize_t field_limit, Py_ssize_t count) except -1
cpdef Py_ssize_t split_fields(bytes head, Py_ssize_t start, Py_ssize_t end, list fields, list special,
                              Py_ssize_t field_limit, Py_ssize_t count) except -1
cpdef Py_ssize_t scan_fields(bytes head, Py_ssize_t start, Py_ssize_t end, list fields, list special,
                             Py_ssize_t field_limit, Py_ssize_t count) except -1
@cython.locals(spelling=bytes, name=bytes, known="const unsigned char *", pair=tuple, i=Py_ssize_t, size=Py_ssize_t)
cdef tuple _recall(const unsigned char *octets, Py_ssize_t start, Py_ssize_t end, unsigned int slot)
cdef tuple _learn(bytes name)
@cython.locals(octets="const unsigned char *", at=Py_ssize_t)
cpdef Py_ssize_t end_of_line(bytes head, Py_ssize_t start) except -1
@cython.locals(parts=list)
cpdef list split_request_line(bytes line)
@cython.locals(octets="const unsigned char *", parts=list, size=Py_ssize_t, at=Py_ssize_t, start=Py_ssize_t)
cdef list _split_at_spaces(bytes line)
@cython.locals(octets="const unsigned char *", at=Py_ssize_t, size=Py_ssize_t)
cpdef Py_ssize_t end_of_head(bytes data) except -2
