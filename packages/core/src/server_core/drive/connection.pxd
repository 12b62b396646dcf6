import cython

cdef class Opener:
    cdef public object config, open_engine, tls
    cdef public bint is_plain

    cpdef Connection open(self, info, double now)

cdef class Connection:
    cdef public object engine, info
    cdef public bint plain

    cpdef receive_data(self, data, double now)
    cpdef receive_eof(self, double now)
    cpdef advance(self, double now)
    cpdef want_read(self)
    cpdef segments(self)
    cpdef bint sent(self, long long n) except -1
    cpdef deadline(self)
    cpdef handle_timer(self, double now)
    cdef _handed_over(self, events)

@cython.final
cdef class _Output:
    cdef object octets
    cdef long long carried

cdef class LayeredConnection(Connection):
    cdef bint _ended, _progress, _unasked
    cdef list _queue, _notices, _waiting
    cdef long long _queued, _covered
    cdef object _opener, _failure, _deadline, _prefix, _tls

    cdef _read_prefix(self, data, double now)
    cdef _start_tls(self, double now)
    cdef _receive_encrypted(self, tls, data, double now)
    cdef _establish(self, tls, double now)
    cdef _open(self, double now)
    cdef _take_engine(self, engine)
    cdef _observe(self, events, double now)
    cdef _limit_output(self, double now)
    cdef _give_up_output(self)
    @cython.locals(entry=_Output)
    cpdef segments(self)
    @cython.locals(entry=_Output, done=cython.longlong, size=cython.longlong)
    cpdef bint sent(self, long long n) except -1
    cdef _put(self, octets, long long carried=*)
    cdef bint _may_encrypt(self)
    @cython.locals(waiting=list, last=cython.bint)
    cdef _encrypt(self, tls)

@cython.locals(room=cython.longlong, size=cython.longlong)
cdef list _beyond(list segments, long long skip)
