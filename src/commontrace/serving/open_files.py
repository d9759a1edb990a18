"""How many connections a process may serve. Each is an open file, and the database's connections are, too."""

import resource

MOST_CONNECTIONS = 4096
_OTHERS = 512
"""Open files that are no caller's connection."""


def connections_to_serve() -> int:
    """Returns how many callers may be connected at once, and lets the process open as many files if it may.

    Without a bound, callers who connect and say nothing take every file: nobody else is served any more, and no lost
    database connection is replaced.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + _OTHERS
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return MOST_CONNECTIONS
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return max(allowed - _OTHERS, allowed // 2)
