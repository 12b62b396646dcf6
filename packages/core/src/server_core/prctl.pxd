cdef extern from *:
    """
    #ifdef __linux__
    #include <sys/prctl.h>
    #define call_prctl(option, value) prctl(option, (unsigned long)(value), 0UL, 0UL, 0UL)
    #else
    #define call_prctl(option, value) (-1)
    #endif
    """
    int call_prctl(int option, unsigned long value)
