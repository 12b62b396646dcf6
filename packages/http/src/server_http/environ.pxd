cimport cython
from server_http.engine cimport ConnectionInfo
from server_http.events cimport Request
from server_http.lines cimport FieldLines, FieldName

cdef dict _environ_keys, _servers
cdef str HTTP_1_1, HTTP_2
cdef int _PERCENT

@cython.locals(environ=dict, target=bytes, query=bytes, raw=str, variables=dict, lines=FieldLines)
cpdef dict request_environ(dict connection, Request request, client, bint last=*)
@cython.locals(environ=dict)
cpdef dict connection_environ(dict listener, ConnectionInfo info, socket)
cdef _set_facts(dict environ, facts)
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
