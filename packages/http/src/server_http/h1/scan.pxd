cimport cython

from cpython.bytes cimport PyBytes_AS_STRING
from libc.string cimport memchr, memcmp
from server_http.fields cimport is_token, value_end

cdef bytes _LATEST_VERSION
cdef dict _NAMES
cdef list _RECENT
cdef int _COLON, _SPACE, _TAB, _CR, _LF, _SLOT, _NAME_OCTETS_MAX

@cython.locals(octets="const unsigned char *", entry=tuple, lines=Py_ssize_t, at=Py_ssize_t, line=Py_ssize_t,
               first=Py_ssize_t, last=Py_ssize_t, kind=int, value=bytes)
cpdef Py_ssize_t walk_fields(bytes head, Py_ssize_t start, Py_ssize_t end, list fields, list special,
                             Py_ssize_t field_limit, Py_ssize_t count) except -1
cpdef Py_ssize_t split_fields(bytes head, Py_ssize_t start, Py_ssize_t end, list fields, list special,
                              Py_ssize_t field_limit, Py_ssize_t count) except -1
cpdef Py_ssize_t scan_fields(bytes head, Py_ssize_t start, Py_ssize_t end, list fields, list special,
                             Py_ssize_t field_limit, Py_ssize_t count) except -1
@cython.locals(found="const unsigned char *")
cdef Py_ssize_t find_octet(const unsigned char *octets, int octet, Py_ssize_t start, Py_ssize_t end) noexcept
cdef bint is_spelled(const unsigned char *octets, Py_ssize_t start, Py_ssize_t end, bytes known) noexcept
@cython.locals(name=bytes, entry=tuple, size=Py_ssize_t, slot=Py_ssize_t)
cdef tuple _recall(const unsigned char *octets, Py_ssize_t start, Py_ssize_t end)
cdef tuple _learn(bytes name)
@cython.locals(octets="const unsigned char *", at=Py_ssize_t)
cpdef Py_ssize_t end_of_line(bytes head, Py_ssize_t start) except -1
@cython.locals(octets="const unsigned char *", version=bytes, first=Py_ssize_t, second=Py_ssize_t)
cpdef list split_request_line(bytes head, Py_ssize_t start, Py_ssize_t end, bytes method)
@cython.locals(octets="const unsigned char *", at=Py_ssize_t, size=Py_ssize_t)
cpdef Py_ssize_t end_of_head(bytes data) except -2
