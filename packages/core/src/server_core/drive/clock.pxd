cdef extern from *:
    """
    #include <time.h>

    #ifdef __linux__
    #define HAS_CLOCK 1
    #else
    #define HAS_CLOCK 0
    #endif

    /* As time.monotonic() on Linux, to the last digit; other systems have several clocks of this kind. */
    static CYTHON_INLINE double clock_seconds(void)
    {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)((long long)now.tv_sec * 1000000000LL + now.tv_nsec) / 1e9;
    }
    """
    bint HAS_CLOCK
    double clock_seconds() nogil

cpdef double monotonic() except? -1.0
