"""Class folders at a URL: S3 and similar stores, web servers, whatever fsspec reads."""

import functools
from collections.abc import Mapping
from typing import Any

from challenge_bundle.data_settings import ImportRequest
from challenge_bundle.errors import DataError, UnavailableError
from challenge_bundle.installation import install_hint
from challenge_bundle.progress import Progress
from challenge_bundle.redaction import redact, secrets_in, without_secrets
from challenge_bundle.sources.base import Listing
from challenge_bundle.sources.class_folders import State, list_class_folders
from challenge_bundle.sources.retry import retry

_ANONYMOUS: dict[str, dict[str, Any]] = {
    "s3": {"anon": True},
    "s3a": {"anon": True},
    "gs": {"token": "anon"},
    "gcs": {"token": "anon"},
    "az": {"anon": True},
    "abfs": {"anon": True},
}
"""How each kind of store is asked without credentials."""

_CRAWLED = {"http": {"on_error": "raise"}, "https": {"on_error": "raise"}}
"""What is listed page by page, where fsspec would pass over a page that cannot be had."""

_AT_ONCE: dict[str, dict[str, Any]] = {"s3": {"max_concurrency": 1}, "s3a": {"max_concurrency": 1}}
"""Where fsspec would first ask for an object's size, to fetch a large one in parts: half of all requests."""

_OWN_EXTRA = ("s3", "s3a", "http", "https")
"""What the extra [s3] brings the packages for."""

_TAGS = ("ETag", "etag")
_TIMES = ("LastModified", "last_modified", "updated")
"""What the packages for the stores call an object's tag, and when it was stored, in their listings."""


class RemoteSource:
    """`URL/CLASS/...` or `URL/{train,val,test}/CLASS/...`.

    Credentials are found as each store's own tools find them; `AWS_ENDPOINT_URL` names a server that is not
    Amazon's.

    Args:
        url: Such as `s3://bucket/prefix`.
        anonymous: Whether to ask without credentials, as for a public bucket.
    """

    names_are_public = False

    def __init__(self, url: str, anonymous: bool = False) -> None:
        self.url = url.rstrip("/")
        self.description = without_secrets(self.url)
        self.anonymous = anonymous

    def list_images(self, request: ImportRequest, progress: Progress) -> Listing:
        """List the images, in order of path; each is fetched when it is loaded.

        Raises:
            DataError: No such place, nothing in it, or no class folders.
            UnavailableError: It cannot be reached, refuses, or a package for it is not installed.
        """
        system, root = self._open()
        try:
            # Keys are listed a page at a time until there are no more; a page has 1,000.
            how = _CRAWLED.get(self.url.partition("://")[0], {})
            listed = functools.partial(system.find, root, detail=True, **how)
            found = retry(listed, f"list {self.description}", secrets_in(self.url))
        except FileNotFoundError:
            found = {}
        except PermissionError as fault:
            raise _refused(self.description, fault, self.url) from None
        progress("listing images", len(found), len(found))
        prefix = root.rstrip("/") + "/"
        # Of all that is known of an object, only this is kept: there may be millions.
        states = {
            path[len(prefix) :]: _state(known) for path, known in found.items() if path.startswith(prefix)
        }
        del found
        if not any(states):
            raise DataError(
                "no such place, or nothing in it", self.description, code="no-images", hint="correct the URL"
            )

        def load(path: str) -> functools.partial[bytes]:
            return functools.partial(_load, system, prefix + path)

        return list_class_folders(states, self.description, load, states)

    def _open(self) -> tuple[Any, str]:
        """The file system behind the URL, and the path in it.

        Raises:
            UnavailableError: A package for it is not installed.
            DataError: Nothing reads URLs of this kind.
        """
        scheme = self.url.partition("://")[0]
        try:
            from fsspec.core import url_to_fs

            options = _AT_ONCE.get(scheme, {}) | (_ANONYMOUS.get(scheme, {}) if self.anonymous else {})
            # What is listed is listed once; fsspec would keep it, and every file's attributes, for nothing.
            system, root = url_to_fs(self.url, use_listings_cache=False, **options)
        except ImportError as fault:
            hint = install_hint("s3") if scheme in _OWN_EXTRA else str(fault)
            raise UnavailableError(
                f"{scheme}:// needs a package that is not installed", code="extra-missing", hint=hint
            ) from None
        except ValueError as fault:
            cause = redact(str(fault), secrets_in(self.url))
            raise DataError(
                f"cannot be read ({cause}); expected s3://, gs://, az:// or https://",
                self.description,
                code="unknown-source",
                hint="correct the URL",
            ) from None
        return system, str(root)


def _state(known: Mapping[str, Any]) -> State:
    """What changes when an object does: its tag, else when it was stored and its size."""
    tag = next((known[name] for name in _TAGS if known.get(name)), None)
    time = next((known[name] for name in _TIMES if known.get(name)), None)
    return State(
        str(tag) if tag else f"{time} {known.get('size')}" if time else None, str(time) if time else None
    )


def _load(system: Any, path: str) -> bytes:
    # Of a web server, the path is the whole URL.
    place = without_secrets(path) if "://" in path else path
    try:
        data: bytes = retry(functools.partial(system.cat_file, path), f"read {place}", secrets_in(path))
    except PermissionError as fault:
        # No fault of the image: the next ones would be refused too.
        raise _refused(place, fault, path) from None
    return data


def _refused(where: str, fault: PermissionError, url: str) -> UnavailableError:
    cause = redact(str(fault), secrets_in(url))
    return UnavailableError(
        f"access is refused ({cause})",
        where,
        code="access-refused",
        hint="give credentials with the right to list and to read, or --anonymous if it is public",
    )
