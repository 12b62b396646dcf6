import cython
from server_core.drive.accept cimport Acceptor
from server_core.drive.clock cimport monotonic
from server_core.drive.connection cimport Opener
from server_core.drive.duties cimport Duties
from server_core.drive.session cimport Session
from server_core.drive.channel cimport Channel
from server_core.drive.wsgi cimport Gateway

cdef double ROUND_SECONDS

cdef class Reactor(Duties):
    cdef public object poller
    cdef public dict sessions
    cdef public list acceptors
    cdef public list unseen
    cdef Py_ssize_t _seen
    cdef dict _openers, _listening
    cdef object _board
    cdef unsigned long long[::1] _open_connections
    cdef object _posted
    cdef bint _asleep, _declines
    cdef list _alarms, _doors, _knocking
    cdef object _passed
    cdef int _passed_fd

    @cython.locals(session=Session, acceptor=Acceptor, now=cython.double, called=cython.double, behind=cython.bint, happened=list)
    cpdef turn(self)
    @cython.locals(session=Session, mask=cython.int)
    cdef double _look_at_unseen(self, double now) except? -1
    cpdef list take_unseen(self)
    @cython.locals(until=cython.double)
    cdef double _timeout(self, double now) except? -1
    cpdef rouse(self)
    @cython.locals(session=Session)
    cdef _look_at_posted(self, double now)
    @cython.locals(own="long long", fewest="long long", acceptor=Acceptor, opener=Opener)
    cdef _accept(self, double now)
    @cython.locals(session=Session)
    cdef _open(self, sock, connection)
    @cython.locals(others=cython.bint)
    cdef _meet(self, Session session, double now)
    cdef _watch(self, Session session)
    cpdef make_turn(self)
    cpdef forget(self, Session session)
    cpdef bint has_ready(self) except -1
    cpdef double run_at_once(self, double now) except? -1

cdef class ReadyQueue:
    cdef Channel first, _last

    cdef put(self, Channel channel)
    cdef Channel take(self)

cdef class InlineReactor(Reactor):
    cdef ReadyQueue _ready
    cdef object _helper
    cdef bint _nested

    @cython.locals(channel=Channel, gateway=Gateway, until=cython.double, now=cython.double, ready=ReadyQueue)
    cpdef run_ready(self)
    cpdef submit(self, Channel channel)
    @cython.locals(before=ReadyQueue, later=ReadyQueue, channel=Channel)
    cpdef turn_without_requests(self)
    cpdef bint has_ready(self) except -1
    cpdef double run_at_once(self, double now) except? -1
