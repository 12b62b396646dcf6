cimport cython
from server_http.fields cimport decimal, is_value

cdef int AWAITING, BODY, CUT
cdef int ABANDON, END, FALL_SHORT, INFORM, RESPOND, SEND, SWITCH
cdef int _RESPONDED, _SWITCHED, _COMPLETE
cdef int CHUNKED, LENGTH, NO_BODY, RAW, UNTIL_CLOSE
cdef int _PLAIN, _LENGTH_FIELD, _CONNECTION, _UPGRADE, _DATE, _SERVER, _DROPPED, _COMMANDS, _REFUSED
cdef bytes _NEXT
cdef dict _SPELLINGS
cdef list _NONE
cdef int _ORDINARY, _HEAD, _CONNECT
cdef dict _METHODS
cdef str HTTP_1_0, HTTP_1_1, HTTP_2

cdef class Exchange:
    cdef public str method, version, warning
    cdef public bytes upgrade
    cdef public int state, status, framing
    cdef int _kind
    cdef public long long length, sent
    cdef public bint keep_alive, expects_continue, own_date, own_server, warned

    cpdef begin(self, str method, str version, bint keep_alive, bytes upgrade, bint expects_continue)
    cpdef inform(self, int status, headers)
    cpdef list respond(self, int status, headers, reason=*)
    cpdef long long send(self, long long size) except -1
    cpdef end(self, trailers=*)
    @cython.locals(taken="long long")
    cpdef long long complete(self, long long size) except -1
    cpdef abandon(self)
    cpdef take_warning(self)
    cpdef bint cut_unmarked(self) except -1
    cpdef bytes connection(self)
    @cython.locals(following="const unsigned char *", state=int)
    cdef int _advance(self, int command) except -1
    cdef bint _opens_tunnel(self, int status) except -1
    @cython.locals(kind=int, fields=list, keeps=cython.bint, at=Py_ssize_t)
    cdef list _admit(self, int status, headers, bint tunnel)
    cdef bint _keeps(self, int kind, value, int status) except -1
    @cython.locals(length="long long")
    cdef bint _keeps_length(self, value, int status, bint tunnel) except -1
    cdef _warn(self, message)
