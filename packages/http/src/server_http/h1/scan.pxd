cimport cython

from cpython.bytes cimport PyBytes_AS_STRING
from libc.string cimport memcmp
from server_http.fields cimport is_token, value_end
from server_http.lines cimport FieldLines, FieldName, field_lines, find_octet

cdef bytes _LATEST_VERSION
cdef dict _NAMES
cdef list _RECENT
cdef int _COLON, _SPACE, _TAB, _CR, _LF, _SLOT, _NAME_OCTETS_MAX

@cython.locals(octets="const unsigned char *", name=FieldName, fields=FieldLines, lines=Py_ssize_t, at=Py_ssize_t, line=Py_ssize_t,
               first=Py_ssize_t, last=Py_ssize_t, value=bytes)
cpdef FieldLines walk_fields(bytes head, Py_ssize_t start, Py_ssize_t end, list special,
                             Py_ssize_t field_limit, Py_ssize_t count)
cpdef list split_fields(bytes head, Py_ssize_t start, Py_ssize_t end, list special,
                        Py_ssize_t field_limit, Py_ssize_t count)
cpdef list scan_fields(bytes head, Py_ssize_t start, Py_ssize_t end, list special,
                       Py_ssize_t field_limit, Py_ssize_t count)
cdef Py_ssize_t after_blanks(const unsigned char *octets, Py_ssize_t at) noexcept
cdef Py_ssize_t before_blanks(const unsigned char *octets, Py_ssize_t first, Py_ssize_t end) noexcept
cpdef bint is_spelled(const unsigned char *octets, Py_ssize_t start, Py_ssize_t end, bytes known) noexcept
@cython.locals(spelling=bytes, recent=FieldName, known=FieldName, size=Py_ssize_t, slot=Py_ssize_t)
cdef FieldName _recall(const unsigned char *octets, Py_ssize_t start, Py_ssize_t end)
cdef FieldName _learn(bytes spelling)
@cython.locals(octets="const unsigned char *", at=Py_ssize_t)
cpdef Py_ssize_t end_of_line(bytes head, Py_ssize_t start) except -1
@cython.locals(octets="const unsigned char *", version=bytes, first=Py_ssize_t, second=Py_ssize_t)
cpdef tuple split_request_line(bytes head, Py_ssize_t start, Py_ssize_t end, bytes method)
@cython.locals(octets="const unsigned char *", at=Py_ssize_t, size=Py_ssize_t)
cpdef Py_ssize_t end_of_head(bytes data) except -2
