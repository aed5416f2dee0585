"""Passwords left out of what a person may read: one function for messages, tracebacks and descriptions."""

import html
import re
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_plus

MASK = "***"
SHORTEST = 4
"""Characters of a secret that are not shown, wherever in it they stand."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*(?::/{0,3}|//)")
_EMBEDDED = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:?//[^\s'\"]+")
_LOCAL_KINDS = ("folder:", "csv:", "coco:", "dicom:", "store:")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_PORT = re.compile(r"\d{0,5}(?:[/?#,]|$)")
_SECRET_KEY = re.compile(r"pass|pwd|secret|token|sig|key|cred|auth", re.IGNORECASE)
_SECRET_VARIABLES = ("POSTGRES_PASSWORD", "PGPASSWORD")

_ENGINE_FOLDER = "/var/lib/docker"

_USERINFO = re.compile(r"(?P<begin>[A-Za-z][A-Za-z0-9+.\-]*:?//[^\s/?#'\"@:]*:)[^\s'\"]*@")
"""A user and a password in the middle of a text, up to the last @ of what looks like a URL."""

_OPEN = "sqlite postgresql postgres psycopg database"
"""Words that messages need, and that are a password only of whoever left it at its default."""


def secrets_in(text: str) -> frozenset[str]:
    """What must not be shown of something that is a URL, or was meant to be one, however malformed."""
    found = set[str]()
    for kind in _LOCAL_KINDS:
        text = text.removeprefix(kind)
    for url in (text, *_EMBEDDED.findall(text)):
        found |= _of_userinfo(url) | _of_query(url)
    return frozenset(found - {""})


def find_secrets(
    arguments: Iterable[str], environment: Mapping[str, str], lines: Iterable[str] = ()
) -> frozenset[str]:
    """The secrets among a command's arguments and settings.

    Args:
        arguments: Of the command line.
        environment: The process's.
        lines: Of files with settings: `NAME=VALUE`, or with URLs in them.
    """
    found = set[str]()
    for argument in arguments:
        # An option may hold its value: `--database=URL`.
        found |= secrets_in(argument.partition("=")[2] if argument.startswith("-") else argument)
    assignments = [line.strip().removeprefix("export ").partition("=") for line in lines]
    pairs = [(name.strip(), value.strip().strip("'\"")) for name, _, value in assignments]
    for name, value in (*environment.items(), *pairs):
        if name in _SECRET_VARIABLES:
            found.add(value)
        elif "//" in value or name in ("BUNDLE_STORE", "BUNDLE_DATABASE", "DOCKER_HOST"):
            found |= secrets_in(value)
    return frozenset(found - {""})


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """A text without secrets: those that are given, in whole or in part, and passwords of URLs in it.

    Args:
        text: Such as the message of an exception.
        secrets: Of secrets_in or find_secrets.
    """
    known = list(secrets)
    for secret in sorted({form for one in known for form in _forms(one)}, key=len, reverse=True):
        if len(secret) >= SHORTEST and secret.lower() not in _OPEN.split():
            text = text.replace(secret, MASK)
    return _without_parts(_USERINFO.sub(rf"\g<begin>{MASK}@", text), known)


def without_secrets(url: str) -> str:
    """A URL as it may be written down: without a user, a password, or what signs it."""
    begin, _, rest = url.partition("://")
    hidden = _of_userinfo(url)
    place = re.split(r"[?#]", rest, maxsplit=1)[0]
    host = place.partition("/")[0]
    if hidden and "@" not in rest:
        return f"{begin}://{MASK}"
    if hidden or "@" in host:
        # A password may hold what ends a host, a path or the rest.
        place = re.split(r"[?#]", rest.rpartition("@")[2], maxsplit=1)[0]
    return f"{begin}://{place}"


def without_paths(text: str, roots: Iterable[str]) -> str:
    """A text without the folders of this machine, for somebody without access to it.

    Args:
        text: Such as the end of a build's output.
        roots: Absolute paths; of what is below them only the last part is shown. The engine's own folder is
            one more: its errors name the files of a build there.
    """
    for root in sorted({*map(_bare, roots), _ENGINE_FOLDER} - {""}, key=len, reverse=True):
        below = r"(?P<below>(?:/[^\s'\":;,()<>]*)?)(?![\w.\-])"
        text = re.sub(rf"(?<![\w.\-/]){re.escape(root)}{below}", _last, text)
    return text


def _bare(root: str) -> str:
    return root.rstrip("/")


def _last(found: re.Match[str]) -> str:
    name = found["below"].rstrip("/").rpartition("/")[2]
    return f".../{name}" if name else "..."


def _of_userinfo(url: str) -> set[str]:
    begin = _SCHEME.match(url)
    rest = url[begin.end() :] if begin and "/" in begin[0] else url
    if rest == url and (_DRIVE.match(url) or "@" not in url):
        return set()
    if "@" in rest:
        user, colon, password = rest[: rest.rindex("@")].partition(":")
        if "/" in user or (not colon and rest == url):
            # The path's own @.
            return set()
        return {password if colon else user}
    host, colon, tail = rest.partition(":")
    if not colon or "/" in host or host.startswith("[") or _PORT.match(tail):
        return set()
    # What is behind a host's colon is a port, or the password of somebody who left the host out.
    return {tail}


def _of_query(url: str) -> set[str]:
    query = url.partition("?")[2]
    pairs = parse_qsl(query, keep_blank_values=True) if "=" in query else []
    return {value for key, value in pairs if _SECRET_KEY.search(key)}


def _forms(secret: str) -> set[str]:
    """A secret as libraries write it: quoted for a URL or not, escaped for Python or HTML."""
    plain = {secret, unquote(secret), unquote_plus(secret)}
    made = {form for one in plain for form in (one, quote(one, safe=""), quote(one), quote_plus(one))}
    return made | {form for one in made for form in (repr(one)[1:-1], html.escape(one))}


def _lower(text: str) -> str:
    """In small letters, as hosts are written, each at its place."""
    return "".join(low if len(low := one.lower()) == 1 else one for one in text)


def _without_parts(text: str, secrets: Iterable[str]) -> str:
    """Mask each run of characters of which any four in a row are a secret's."""
    parts = {
        _lower(form)[start : start + SHORTEST]
        for secret in secrets
        for form in _forms(secret)
        for start in range(len(form) - SHORTEST + 1)
    }
    parts = {part for part in parts if part not in _OPEN}
    if not parts:
        return text
    low = _lower(text)
    hidden = bytearray(len(text))
    for start in range(len(text) - SHORTEST + 1):
        if low[start : start + SHORTEST] in parts:
            hidden[start : start + SHORTEST] = b"\1" * SHORTEST
    shown: list[str] = []
    for place, character in enumerate(text):
        if not hidden[place]:
            shown.append(character)
        elif place == 0 or not hidden[place - 1]:
            shown.append(MASK)
    return "".join(shown)
