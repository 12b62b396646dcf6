cimport cython
from server_http.engine cimport ConnectionInfo
from server_http.events cimport Request
from server_http.lines cimport FieldLines, FieldName

cdef dict _environ_keys, _header_names, _servers, _statuses
cdef str HTTP_1_1, HTTP_2
cdef int _PERCENT

@cython.locals(environ=dict, target=bytes, query=bytes, raw=str, variables=dict, lines=FieldLines)
cpdef dict request_environ(dict connection, Request request, client, bint last=*)
@cython.locals(environ=dict)
cpdef dict connection_environ(dict listener, ConnectionInfo info, socket)
cdef _set_client(dict environ, client)
cdef str _digits(long long number)
@cython.locals(server=tuple)
cdef _set_server_from_host(dict environ, Request request)
@cython.locals(text=str, path=bytes)
cdef _set_path(dict environ, Request request, str raw)
@cython.locals(key=str, octets=bytes, size=Py_ssize_t)
cdef _set_headers(dict environ, list headers)
@cython.locals(name=FieldName, size=Py_ssize_t, index=Py_ssize_t)
cdef _set_lines(dict environ, FieldLines lines)
cdef Py_ssize_t _set_field(dict environ, str key, str text, Py_ssize_t size) except -1
cdef _environ_key(name)
@cython.locals(digits=str)
cpdef tuple parse_status(status)
cdef class HeaderName:
    cdef bytes octets
    cdef bint is_length
    cdef tuple latest

    @cython.locals(known=str, latest=tuple)
    cdef tuple field(self, value)

@cython.locals(encoded=list, known=HeaderName, latest=tuple, field=tuple)
cpdef tuple encode_headers(headers)
@cython.locals(characters=str)
cdef bytes _latin1(text)
cdef _header_name(name)

cdef class StartResponse:
    cdef object _sink, _trailers
    cdef public int status
    cdef public object reason, length
    cdef public list headers
    cdef public bint head_sent

    cpdef write(self, data)
    cpdef send_head(self)
    cpdef declare(self, long long size, method)
    cpdef tuple take_whole(self, long long size, method)
    cpdef set_length(self, long long length)
