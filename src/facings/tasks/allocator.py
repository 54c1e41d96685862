"""How the C library keeps the memory that training on a CPU frees and takes again at every step.

glibc hands large blocks back to the system at once, and the system gives them out again page by page, zeroed: in a detector's
step on a CPU that is the third largest item of the profile.
"""

import ctypes
import platform

# From glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_NEVER_TRIM = -1
_PAD_BYTES = 256 * 2**20


def keep_freed_memory() -> bool:
    """Let this process keep what it frees, instead of asking the system for it again at each step.

    Returns whether the C library could be told: only glibc can. The price is that a process stays as large as it once was.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(
        mallopt(ctypes.c_int(option), ctypes.c_int(value)) == 1
        for option, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER_TRIM), (_TOP_PAD, _PAD_BYTES))
    )
