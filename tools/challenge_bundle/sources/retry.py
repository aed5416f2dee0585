"""Trying again what a server may do the next time."""

import json
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from challenge_bundle.errors import UnavailableError
from challenge_bundle.redaction import redact

T = TypeVar("T")

ATTEMPTS = 4
FIRST_WAIT_S = 0.2

FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
"""Faults that no waiting mends."""

_CREDENTIALS = (
    "give credentials (AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, in the environment, not"
    " in .env; gcloud auth), or ask without, as of a public place: --anonymous"
)
_PROFILE = "correct AWS_PROFILE, or write that profile into ~/.aws/credentials"
_REGION = "correct AWS_DEFAULT_REGION, or the profile's region, such as eu-central-1"
_ADDRESS = "correct AWS_ENDPOINT_URL, such as http://localhost:9000, or the URL"

_CURES = {
    "NoCredentialsError": _CREDENTIALS,
    "PartialCredentialsError": _CREDENTIALS,
    "DefaultCredentialsError": _CREDENTIALS,
    "UnauthorizedSSOTokenError": "log in again: aws sso login",
    "SSOTokenLoadError": "log in again: aws sso login",
    "ProfileNotFound": _PROFILE,
    "ConfigNotFound": _PROFILE,
    "ConfigParseError": "correct ~/.aws/config and ~/.aws/credentials",
    "NoRegionError": _REGION,
    "InvalidRegionError": _REGION,
    "UnknownRegionError": _REGION,
    "InvalidEndpointConfigurationError": _ADDRESS,
    "EndpointProviderError": _ADDRESS,
    "EndpointResolutionError": _ADDRESS,
    "UnknownEndpointError": _ADDRESS,
    "InvalidURL": _ADDRESS,
    "InvalidUrlClientError": _ADDRESS,
    "ValueError": _ADDRESS,
}
"""What mends faults of the settings, by the names of their classes: their packages need not be installed."""

_REFUSED = (401, 403)
"""What a web server answers whom it does not let in."""


def retry(call: Callable[[], T], what: str, secrets: Iterable[str] = ()) -> T:
    """Call until it goes well, with pauses that double.

    Args:
        call: What is done.
        what: For the message, such as `read s3://bucket/key`.
        secrets: That no message may hold; see redaction.secrets_in.

    Raises:
        UnavailableError: It failed each time, or at once, where a setting is at fault; what else no waiting
            mends is raised as it is.
    """
    for attempt in range(ATTEMPTS):
        try:
            return call()
        except FINAL:
            raise
        # The packages that speak to servers raise what they like: their transports' own faults among it.
        except Exception as fault:
            cause = redact((str(fault).strip() or type(fault).__name__).splitlines()[0], secrets)
            cure = _cure(fault)
            if cure:
                raise UnavailableError(f"cannot {what} ({cause}); {cure}") from None
            if getattr(fault, "status", None) in _REFUSED:
                raise PermissionError(cause) from None
            if attempt == ATTEMPTS - 1:
                raise UnavailableError(
                    f"cannot {what} after {ATTEMPTS} attempts ({cause}); look at the network, the server and"
                    " your credentials (--anonymous asks without), and run the same command again"
                ) from None
            time.sleep(FIRST_WAIT_S * 2**attempt)
    raise AssertionError("unreachable")


def _cure(fault: Exception) -> str | None:
    """What mends a fault of the settings; None if it is another."""
    # A ValueError too, but that of a server, or of something on the way, that is out of order.
    if isinstance(fault, json.JSONDecodeError | UnicodeError):
        return None
    return next((_CURES[one.__name__] for one in type(fault).__mro__ if one.__name__ in _CURES), None)
