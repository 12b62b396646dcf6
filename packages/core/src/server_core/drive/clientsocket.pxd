cimport cython
from libc.errno cimport EAGAIN, ECONNABORTED, errno
from libc.string cimport strcmp, strcpy

cdef extern from *:
    """
    #include <arpa/inet.h>
    #include <errno.h>
    #include <fcntl.h>
    #include <netinet/in.h>
    #include <sys/socket.h>
    #include <unistd.h>

    /* Writes the four numbers of an IPv4 address; inet_ntop does it by printf, which costs as much as parsing a request. */
    static void spell_ipv4(const unsigned char *octets, char *text)
    {
        for (int i = 0; i < 4; i++) {
            unsigned char n = octets[i];
            if (n >= 100)
                *text++ = '0' + n / 100;
            if (n >= 10)
                *text++ = '0' + n / 10 % 10;
            *text++ = '0' + n % 10;
            *text++ = i < 3 ? '.' : '\\0';
        }
    }

    /* Accepts with the close-on-exec flag; host becomes the text of an IP address, "" for other families, whose peers
       have no address that anybody wants. */
    static int accept_client(int listener, int family, char *host, int size, int *port)
    {
        struct sockaddr_storage peer;
        struct sockaddr *at = family == AF_UNIX ? NULL : (struct sockaddr *)&peer;
        socklen_t length, *of = at ? &length : NULL;
        int fd;
        do {
            length = sizeof peer;
    #ifdef __linux__
            fd = accept4(listener, at, of, SOCK_CLOEXEC);
    #else
            fd = accept(listener, at, of);
    #endif
        } while (fd < 0 && errno == EINTR);
        host[0] = '\\0';
        *port = 0;
        if (fd < 0)
            return -1;
    #ifndef __linux__
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    #endif
        if (!at || length < sizeof peer.ss_family)
            return fd;
        if (peer.ss_family == AF_INET) {
            struct sockaddr_in *ip = (struct sockaddr_in *)&peer;
            spell_ipv4((const unsigned char *)&ip->sin_addr, host);
            *port = ntohs(ip->sin_port);
        } else if (peer.ss_family == AF_INET6) {
            struct sockaddr_in6 *ip = (struct sockaddr_in6 *)&peer;
            inet_ntop(AF_INET6, &ip->sin6_addr, host, size);
            *port = ntohs(ip->sin6_port);
        }
        return fd;
    }
    """
    int accept_client(int listener, int family, char *host, int size, int *port) nogil
    int SHUT_WR
    int c_shutdown "shutdown"(int fd, int how) nogil
    int c_close "close"(int fd) nogil
    int c_getsockopt "getsockopt"(int fd, int level, int option, void *value, unsigned int *size) nogil

cdef int OPTION_OCTETS
cdef char[64] HOST, LATEST_HOST, OPTION
cdef list _LATEST

cdef class ClientSocket:
    cdef int _fd, _family
    cdef bint _closed
    cdef object _sock

    cpdef int fileno(self) except? -1
    cpdef close(self)
    cpdef getsockopt(self, int level, int option, int size=*)
    cpdef socket(self)

cpdef accept(listener, int fd, int family)
@cython.locals(client=ClientSocket)
cpdef int descriptor(sock) except? -1
@cython.locals(client=ClientSocket)
cpdef close(sock)
@cython.locals(client=ClientSocket)
cpdef shut_down(sock)
@cython.locals(accepted=int)
cdef _accept(int fd, int family)
cdef int _close(int fd) except -1
