cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy
from server_http.defaults cimport ResponseDefaults
from server_http.exchange cimport Exchange

cdef int CHUNKED, _JOINED, _JOINED_TO, _COLON, _SPACE, _CR, _LF
cdef const char *_HEXADECIMAL
cdef dict _CHUNKED_LINES, _CONNECTION_LINES
cdef list _STATUS_LINES

cdef class Output:
    cdef list _segments
    cdef public long long pending, written
    cdef public double since
    cdef public bint blocked

    cpdef list segments(self)
    @cython.locals(size=Py_ssize_t, segments=list)
    cpdef add(self, bytes data, double now)
    @cython.locals(size=Py_ssize_t)
    cpdef add_chunk(self, bytes data, double now)
    cpdef add_file(self, int fd, long long offset, long long count, double now)
    @cython.locals(gone=Py_ssize_t, size="long long", segments=list)
    cpdef sent(self, long long n)
    cpdef add_page(self, Exchange exchange, int status, ResponseDefaults defaults, double now)
    @cython.locals(waited="long long")
    cpdef long long give_up(self, Exchange exchange) except -1
    cpdef fill(self, long long high)
    cpdef bint relieved(self, long long low) except -1
    @cython.locals(written_by=double)
    cpdef deadline(self, double patience, double since, double timeout)
    cpdef overdue(self, double patience, double now)

@cython.locals(own=bytes, connection=bytes)
cpdef bytes response_head(Exchange exchange, list fields, ResponseDefaults defaults, bytes phrase=*, bytes body=*)
cpdef bytes informational_head(int status, list fields)
cpdef bytes trailer_section(list fields)
@cython.locals(parts=list)
cdef bytes _spell(bytes start, bytes own, bytes connection, list fields, bytes body)
@cython.locals(size=Py_ssize_t, at="char *", spelled=bytes)
cdef bytes _copy(bytes start, bytes own, bytes connection, list fields, bytes body)
@cython.locals(size=Py_ssize_t, digits=int, place=int, at="char *", spelled=bytes)
cdef bytes _chunk(bytes data)
cdef char *_append(char *at, octets) noexcept
@cython.locals(usual=tuple)
cdef bytes _status_line(int status, bytes phrase)
