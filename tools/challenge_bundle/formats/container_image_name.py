"""Names of images as the engine reads them: one canonical name for every way to write it.

Source:
    github.com/distribution/reference, normalize.go and regexp.go.
"""

import re
from collections.abc import Sequence

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOMAIN_PART = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_NAME = re.compile(
    rf"(?P<domain>{_DOMAIN_PART}(?:\.{_DOMAIN_PART})*(?::[0-9]+)?)/(?P<path>{_PART}(?:/{_PART})*)"
    r"(?P<tag>:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?P<digest>@sha256:[0-9a-f]{64})?"
)
MAX_CHARACTERS = 255


def canonical_image(name: str) -> str | None:
    """Write an image's name in full, such as `docker.io/library/python:3.11` for `python:3.11`.

    Returns:
        With its registry and its tag or digest; None if it is no name, or the identifier of an image.
    """
    if len(name) > MAX_CHARACTERS or re.fullmatch(r"[0-9a-f]{64}|sha256:.*", name):
        return None
    first, slash, rest = name.partition("/")
    if not slash or not (re.search(r"[.:]", first) or first == "localhost" or first != first.lower()):
        first, rest = "docker.io", name
    elif first == "index.docker.io":
        first = "docker.io"
    if first == "docker.io" and "/" not in rest:
        rest = f"library/{rest}"
    found = _NAME.fullmatch(f"{first}/{rest}")
    if found is None:
        return None
    # With a digest, the engine ignores the tag.
    return f"{found['domain']}/{found['path']}{found['digest'] or found['tag'] or ':latest'}"


def is_allowed(name: str, base_images: Sequence[str], given: str) -> bool:
    """Whether submissions may build on an image.

    Args:
        name: Of the image, canonical.
        base_images: What the challenge lists; empty lists nothing and allows any.
        given: What its own programs are built on; empty if it names none.
    """
    return not base_images or name in map(canonical_image, (*base_images, given))
