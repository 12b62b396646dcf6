cimport cython
from server_http.fields cimport decimal, is_method, is_value

cdef int AWAITING, BODY, CUT
cdef int ABANDON, END, FALL_SHORT, INFORM, RESPOND, SEND, SWITCH
cdef int CHUNKED, LENGTH, NO_BODY, RAW, UNTIL_CLOSE
cdef int _PLAIN, _LENGTH_FIELD, _CONNECTION, _UPGRADE, _DATE, _SERVER, _DROPPED, _COMMANDS, _REFUSED
cdef bytes _NEXT
cdef dict _SPELLINGS
cdef list _NONE
cdef str HTTP_1_0, HTTP_1_1, HTTP_2

cdef class ResponseDefaults:
    cdef public bytes server, date, server_line, date_line, lines
    cdef long long _second

cdef class Exchange:
    cdef public str method, version, warning
    cdef public bytes upgrade
    cdef public int state, status, framing
    cdef public long long length, sent
    cdef public bint keep_alive, expects_continue, own_date, own_server, warned

    cpdef inform(self, int status, headers)
    cpdef list respond(self, int status, headers, reason=*)
    cpdef long long send(self, long long size) except -1
    cpdef end(self, trailers=*)
    cpdef abandon(self)
    cpdef take_warning(self)
    cpdef bytes connection(self)
    @cython.locals(following="const unsigned char *", state=int)
    cdef int _advance(self, int command) except -1
    cdef bint _opens_tunnel(self, int status) except -1
    @cython.locals(kind=int, fields=list)
    cdef list _admit(self, int status, headers, bint tunnel)
    cdef bint _keeps(self, int kind, value, int status, bint tunnel) except -1
    @cython.locals(length="long long")
    cdef bint _keeps_length(self, value, int status, bint tunnel) except -1
    cdef int _frame(self, int status, bint tunnel) except -1
    cdef _warn(self, message)
