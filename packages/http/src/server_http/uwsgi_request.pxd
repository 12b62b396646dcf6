cimport cython
from server_http.engine cimport ConnectionInfo
from server_http.events cimport Request
from server_http.fields cimport check_authority, decimal, is_token, is_value

cdef int _SLOTS, _PORT_DIGITS
cdef Py_ssize_t _SIZE_OCTETS, _NAME_OCTETS_MAX
cdef dict _VERSIONS, _METHODS, _MEANINGS, _SOUGHT
cdef list _RECENT
cdef tuple _SCHEMES, _FRAMING
cdef frozenset _CONSUMED
cdef bytes _PATH_OCTETS, _IS_PATH

@cython.locals(octets="const char *", name=bytes, position=Py_ssize_t, middle=Py_ssize_t, end=Py_ssize_t, count=Py_ssize_t)
cpdef dict parse_variables(bytes block, Py_ssize_t limit)
@cython.locals(octets="const char *", name=bytes)
cdef bytes _recall(bytes block, Py_ssize_t start, Py_ssize_t end, Py_ssize_t slot)
@cython.locals(size=Py_ssize_t, end=Py_ssize_t)
cdef Py_ssize_t _end_of_string(bytes block, Py_ssize_t position) except -1
@cython.locals(path=bytes, query=bytes, length=bytes, mount=bytes)
cpdef Request build_request(dict variables, ConnectionInfo info)
@cython.locals(method=bytes)
cdef _method(dict variables)
@cython.locals(decoded=bytes, mount=bytes)
cdef bytes _path(dict variables)
@cython.locals(octets="const unsigned char *", table="const unsigned char *", i=Py_ssize_t)
cdef bint _is_plain(bytes path) except -1
cdef bytes _requested_path(dict variables)
@cython.locals(headers=list, others=dict, name=bytes, value=bytes, field=bytes)
cdef tuple _fields_and_others(dict variables)
cdef _learn(bytes name)
cdef bytes _field(bytes name)
@cython.locals(secure=bytes, said=bytes)
cdef _scheme(dict variables, ConnectionInfo info)
@cython.locals(host=bytes, port=bytes, number="long long")
cdef _client(dict variables, ConnectionInfo info)
@cython.locals(name=bytes, port=bytes, host=bytes, number="long long")
cdef tuple _authority(dict variables)
cdef long long _port(bytes value) except -2
