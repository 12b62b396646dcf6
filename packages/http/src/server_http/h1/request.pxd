cimport cython
from server_http.events cimport Request
from server_http.fields cimport check_authority, content_length, is_target
from server_http.h1.rules cimport RequestRules
from server_http.h1.scan cimport end_of_line, scan_fields, split_fields, split_request_line, walk_fields

@cython.locals(line_end=Py_ssize_t, first=Py_ssize_t, special=list)
cpdef Request read_head(object stream, bytes head, Py_ssize_t start, Py_ssize_t end, RequestRules rules)
cdef int CONNECTION, CONTENT_LENGTH, EXPECT, HOST, SINGLE_KINDS, TRANSFER_ENCODING, UNDERSCORED, UPGRADE
cdef bytes LATEST_VERSION
cdef str HTTP_1_0, HTTP_1_1, _CONNECT
cdef dict METHODS
cdef list _LATEST
cdef int _SLASH, _QUESTION_MARK

@cython.locals(latest=tuple, name=bytes, target=bytes, digits=bytes, method=str, version=str)
cpdef Request read_request_line(object stream, bytes head, Py_ssize_t start, Py_ssize_t end, RequestRules rules)
cdef _other_forms(Request request, bytes target)
cdef _absolute_form(Request request, bytes target)
@cython.locals(seen=int, kind=int, repeated=int)
cdef _interpret(Request request, list special)
cdef _expect(Request request, bytes value)
cdef _authority(Request request, host)
cdef _framing(Request request, length, transfer)
cdef _connection(Request request, bytes value, bytes upgrade)
