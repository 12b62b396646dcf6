cimport cython

from server_http.ws.frames cimport frame, unmask

cdef class WebSocket:
    cdef object _limits, _deflate, _decoder, _message, _pong
    cdef public bint ended
    cdef int _state, _opcode, _phase
    cdef long long _limit, _size, _received, _left
    cdef bint _reported, _compressed, _fin
    cdef bytes _buffer, _out, _mask
    cdef double _heard, _ping_at, _pong_at, _close_at

    cpdef list receive_data(self, data, double now)
    cpdef bytes take(self)
    cpdef bytes send_text(self, text)
    cpdef bytes send_bytes(self, data)
    @cython.locals(at=Py_ssize_t, end=Py_ssize_t, size=Py_ssize_t, after=Py_ssize_t, first=int, short=bint)
    cdef Py_ssize_t _parse(self, bytes data, list events) except -1
    cdef _whole(self, int first, bytes payload, Py_ssize_t size, list events)
    cdef _check_start(self, bytes data, Py_ssize_t at, Py_ssize_t end)
    cdef Py_ssize_t _header(self, bytes data, Py_ssize_t at, Py_ssize_t end, list events) except -2
    cdef _check_first(self, int first)
    cdef _begin(self, int first, int opcode, long long size)
    cdef _content(self, bytes payload, Py_ssize_t size, list events)
    cdef _deliver(self, content, bytes payload, list events)
    cdef bytes _frame(self, int first, bytes payload)
