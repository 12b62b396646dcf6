import cython
from server_core.drive.arrival cimport Arrivals, is_timed
from server_core.drive.clock cimport monotonic
from server_core.drive.channel cimport Channel
from server_core.drive.clientsocket cimport close, descriptor, shut_down
from server_core.drive.connection cimport Connection
from server_core.drive.duties cimport Duties
from server_core.drive.sockio cimport receive, transmit
from server_core.drive.turn cimport Turn

cdef int READ, WRITE, GONE, LOOK, OPEN, CLOSING, LINGERING, BROKEN, CLOSED
cdef int READS_PER_TURN, RECEIVE_OCTETS, WOULD_BLOCK
cdef dict _HANDLERS
# Imported classes and functions, as C variables: a look-up in the module's dictionary would cost more than the comparison.
cdef object BodyEnded, BodyReceived, RequestReceived, StreamClosed, begin_body, end_body, take_part

cdef class Session:
    cdef public Duties driver
    cdef public Connection connection
    cdef public object sock, layer, engine, client, lingering
    cdef public Turn turn
    cdef public dict environ
    cdef public dict channels
    cdef public list queue
    cdef public int fd, phase, missed
    cdef public long long armed, served, high_water, low_water
    cdef public bint readable, writable, gone, queued, watched, linger, use_sendfile, timed, joins, lent, parting, regular
    cdef public double arrived, delayed, due
    cdef public Arrivals arrivals

    cpdef enter(self)
    cpdef leave(self)
    cpdef on_ready(self, int mask, double now)
    cpdef on_timer(self, double now)
    @cython.locals(reads=cython.int)
    cpdef read(self, double now, bint fresh=*)
    cpdef feed(self, data, double now)
    @cython.locals(waited=cython.double, arrivals=Arrivals)
    cpdef note_arrival(self, double now, bint fresh=*)
    @cython.locals(wrote=cython.bint)
    cpdef flush(self, double now, bint facts=*)
    @cython.locals(count=cython.longlong, wrote=cython.bint, segments=list)
    cpdef bint _write(self) except -1
    cpdef dispatch(self, events, double now)
    cpdef settle(self, double now)
    cpdef bint needs_loop(self, double now) except -1
    @cython.locals(due=cython.double)
    cdef double _nearer(self, double now) except -1.0
    cpdef close(self)
    @cython.locals(lingers=cython.bint)
    cdef _close_when_sent(self)
    cdef _choose_layer(self)
    cdef _ended(self, event, double now)
    cdef bint _is_sent(self) except -1
    cdef _act(self, int mask, double now)
    @cython.locals(fresh=cython.bint)
    cdef _see_to(self, int mask, double now)
    cdef bint _wants_input(self) except -1
    cdef _rearm(self, int mask)
    cdef _arm(self, double deadline)
    @cython.locals(channel=Channel, driver=Duties, complete=cython.bint)
    cdef _request(self, event, double now)
    @cython.locals(channel=Channel)
    cdef _body(self, event, double now)
    @cython.locals(channel=Channel)
    cdef _body_ended(self, event)
    @cython.locals(channel=Channel)
    cdef _closed(self, event, double now)
