cimport cython
from server_http.events cimport Request
from server_http.fields cimport check_authority, is_token, is_value

cdef int _DOT
cdef Py_ssize_t _SIZE_OCTETS
cdef dict _VERSIONS, _FIELDS
cdef tuple _SCHEMES, _FRAMING
cdef frozenset _CONSUMED
cdef bytes _PATH_OCTETS

@cython.locals(octets="const char *", name=bytes, position=Py_ssize_t, middle=Py_ssize_t, end=Py_ssize_t, count=Py_ssize_t)
cpdef dict parse_variables(bytes block, Py_ssize_t limit)
@cython.locals(size=Py_ssize_t, end=Py_ssize_t)
cdef Py_ssize_t _end_of_string(bytes block, Py_ssize_t position) except -1
@cython.locals(method=bytes, path=bytes, query=bytes)
cpdef Request build_request(dict variables, info)
@cython.locals(decoded=bytes, mount=bytes)
cdef bytes _path(dict variables)
cdef bytes _requested_path(dict variables)
@cython.locals(headers=list, others=dict, name=bytes, value=bytes, field=bytes)
cdef tuple _fields_and_others(dict variables)
cdef bytes _field(bytes name)
cdef _scheme(dict variables, info)
@cython.locals(host=bytes, port=bytes)
cdef _client(dict variables, info)
@cython.locals(name=bytes, port=bytes, host=bytes)
cdef tuple _authority(dict variables)
