"""Requests to servers: tried again where a later attempt may succeed, and explained where not."""

import json
from collections.abc import Callable, Iterable
from typing import TypeVar

from challenge_bundle.errors import UnavailableError
from challenge_bundle.redaction import redact

T = TypeVar("T")

ATTEMPTS = 4
FIRST_WAIT_S = 0.2

FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
"""Faults that waiting does not change."""

_CREDENTIALS = (
    "give credentials (AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, in the environment, not"
    " in .env; gcloud auth), or ask without, as of a public place: --anonymous"
)
_PROFILE = "correct AWS_PROFILE, or write that profile into ~/.aws/credentials"
_REGION = "correct AWS_DEFAULT_REGION, or the profile's region, such as eu-central-1"
_ADDRESS = "correct AWS_ENDPOINT_URL, such as http://localhost:9000, or the URL"

_HINTS = {
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
"""How to fix faults of the settings, by the names of their classes: their packages need not be installed."""

_REFUSED = (401, 403)
"""The status with which a web server refuses a request."""


def retry(call: Callable[[], T], what: str, secrets: Iterable[str] = ()) -> T:
    """Call until it succeeds, with pauses that double.

    Args:
        call: What is done.
        what: For the message, such as `read s3://bucket/key`.
        secrets: What no message may hold; see redaction.secrets_in.

    Raises:
        UnavailableError: It failed each time, or at once, where a setting is at fault.
        PermissionError: The server refuses.
    """
    # Here, for it takes as long to import as `bundle --help` may take in all.
    from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

    retrying = Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(multiplier=FIRST_WAIT_S),
        retry=retry_if_exception(_may_pass),
        reraise=True,
    )
    try:
        return retrying(call)
    except FINAL:
        raise
    # The packages that speak to servers raise what they like, their transports' own errors among it.
    except Exception as fault:
        cause = redact((str(fault).strip() or type(fault).__name__).splitlines()[0], secrets)
        hint = _hint(fault)
        if hint:
            raise UnavailableError(f"cannot {what} ({cause})", code="server-settings", hint=hint) from None
        if _is_refused(fault):
            raise PermissionError(cause) from None
        raise UnavailableError(
            f"cannot {what} after {ATTEMPTS} attempts ({cause})",
            code="server-unreachable",
            hint=(
                "look at the network, the server and your credentials (--anonymous asks without), and run the"
                " same command again"
            ),
        ) from None


def _may_pass(fault: BaseException) -> bool:
    """Whether a later attempt may succeed."""
    is_final = isinstance(fault, FINAL) or not isinstance(fault, Exception)
    return not (is_final or _is_refused(fault) or _hint(fault))


def _is_refused(fault: BaseException) -> bool:
    return getattr(fault, "status", None) in _REFUSED


def _hint(fault: BaseException) -> str | None:
    """How to fix a fault of the settings; None if it is another."""
    # A ValueError too, but that of a server, or of something on the way, that is out of order.
    if isinstance(fault, json.JSONDecodeError | UnicodeError):
        return None
    return next((_HINTS[one.__name__] for one in type(fault).__mro__ if one.__name__ in _HINTS), None)
