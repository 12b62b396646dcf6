cdef int READ_SIZE, HANDSHAKE_RECORD

cdef class TLSSession:
    cdef object _tls, _incoming, _outgoing, _wrapped, _info, _take, _write
    cdef bint _closed, _started
    cdef public bint established, input_ended, has_output

    cpdef bytes receive(self, bytes data)
    cpdef bytes encrypt(self, plaintext=*, bint last=*)
    cdef _close(self)
    cdef _check_start(self, bytes data)
    cdef bytes _read(self)
