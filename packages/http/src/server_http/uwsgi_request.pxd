cimport cython
from server_http.engine cimport ConnectionInfo
from server_http.events cimport Request
from server_http.fields cimport check_authority, decimal, is_token, is_value
from server_http.h1.scan cimport is_spelled

cdef int REQUEST_METHOD, REQUEST_URI, PATH_INFO, QUERY_STRING, SERVER_PROTOCOL, SCRIPT_NAME, CONTENT_TYPE
cdef int CONTENT_LENGTH, SERVER_NAME, SERVER_PORT, REMOTE_ADDR, REMOTE_PORT, HTTPS, REQUEST_SCHEME, UWSGI_SCHEME
cdef int URL_SCHEME, FIELD, OFFERED, NOTHING
cdef int _SLOTS, _PORT_DIGITS
cdef Py_ssize_t _SIZE_OCTETS, _NAME_OCTETS_MAX
cdef str HTTP_1_1
cdef dict _PARTS, _VERSIONS, _MEANINGS
cdef list _RECENT, _UNSAID
cdef tuple _FRAMING
cdef bytes _PATH_OCTETS, _IS_PATH, _USUAL_PROTOCOL

@cython.final
cdef class Meaning:
    cdef bytes name, field
    cdef int part
    cdef str key

@cython.final
cdef class Variables:
    cdef readonly list parts
    cdef readonly dict fields, offered

@cython.locals(octets="const unsigned char *", variables=Variables, meaning=Meaning, value=bytes, part=int,
               position=Py_ssize_t, middle=Py_ssize_t, following=Py_ssize_t, count=Py_ssize_t)
cpdef Variables read_variables(bytes packet, Py_ssize_t start, Py_ssize_t end, Py_ssize_t limit)
@cython.locals(end=Py_ssize_t)
cdef Py_ssize_t _end_of_string(const unsigned char *octets, Py_ssize_t position, Py_ssize_t limit) except -1
@cython.locals(recent=Meaning, name=bytes)
cdef Meaning _recall(const unsigned char *octets, Py_ssize_t start, Py_ssize_t end, Py_ssize_t slot)
@cython.locals(part=int, field=bytes)
cdef Meaning _learn(bytes name)
cdef bytes _field(bytes name)
@cython.locals(parts=list, path=bytes, query=bytes, protocol=bytes, mount=bytes, request=Request)
cpdef Request build_request(Variables variables, ConnectionInfo info, grammar)
@cython.locals(decoded=bytes, mount=bytes)
cdef bytes _path(list parts)
@cython.locals(octets="const unsigned char *", table="const unsigned char *", i=Py_ssize_t)
cdef bint _is_plain(bytes path) except -1
cdef bytes _requested_path(list parts)
@cython.locals(headers=list, content_type=bytes, length=bytes)
cdef list _fields(Variables variables, Request request)
@cython.locals(secure=bytes, said=bytes, part=int)
cdef str _scheme(list parts, ConnectionInfo info)
@cython.locals(host=bytes, port=bytes, number="long long")
cdef _client(list parts, ConnectionInfo info)
@cython.locals(name=bytes, port=bytes, host=bytes, number="long long")
cdef _address(Variables variables, Request request)
cdef long long _port(bytes value) except -2
