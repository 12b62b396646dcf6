cdef int READ_SIZE, HANDSHAKE_RECORD

cdef class TLSSession:
    cdef object _tls, _incoming, _outgoing, _wrapped, _info
    cdef bint _closed, _started
    cdef public bint established, input_ended

    cpdef bytes receive(self, bytes data)
    cpdef write(self, data)
    cpdef bytes take(self)
    cpdef close(self)
    cdef _check_start(self, bytes data)
    cdef bytes _read(self)
