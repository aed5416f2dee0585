"""Trying again what a server may do the next time."""

import time
from collections.abc import Callable
from typing import TypeVar

from tools.errors import UnavailableError

T = TypeVar("T")

ATTEMPTS = 4
FIRST_WAIT_S = 0.2

FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
"""Faults that no waiting mends."""


def retry(call: Callable[[], T], what: str) -> T:
    """Call until it goes well, with pauses that double.

    Args:
        call: What is done.
        what: For the message, such as `read s3://bucket/key`.

    Raises:
        UnavailableError: It failed each time; what no waiting mends is raised as it is, at once.
    """
    for attempt in range(ATTEMPTS):
        try:
            return call()
        except FINAL:
            raise
        # The packages that speak to servers raise what they like: their transports' own faults among it.
        except Exception as fault:
            if attempt == ATTEMPTS - 1:
                cause = (str(fault).strip() or type(fault).__name__).splitlines()[0]
                raise UnavailableError(
                    f"cannot {what} after {ATTEMPTS} attempts ({cause}); look at the network, the server and"
                    " your credentials (--anonymous asks without), and run the same command again"
                ) from None
            time.sleep(FIRST_WAIT_S * 2**attempt)
    raise AssertionError("unreachable")
