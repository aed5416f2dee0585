"""A source of COPY or ADD: a path or pattern in the build context, and nothing else."""

import re
from collections.abc import Mapping

from challenge_bundle.errors import shown
from challenge_bundle.formats.dockerfile import Instruction, is_printable
from challenge_bundle.formats.dockerfile_variables import expand
from challenge_bundle.formats.path_patterns import parse_pattern

_REMOTE = re.compile(r"[A-Za-z][\w+.-]*:/|[\w.-]+@[\w.-]+:|git@|github\.com/", re.ASCII)
_ODD = "\\'\"$`"


def resolve_source(word: str, step: Instruction, values: Mapping[str, str]) -> str:
    """Resolve a source in the context.

    Raises:
        DockerfileError: It is not in the context, or its place depends on the build.
        SubstitutionError: It uses a variable that this Dockerfile does not set.
    """
    if word.startswith("<<"):
        raise step.fault(
            f"{step.name} with a heredoc",
            code="dockerfile-heredoc",
            hint="put the text into a file and COPY it",
        )
    source = expand(word, values, must_be_set=True)
    if _REMOTE.match(source):
        what = f"{step.name} {shown(source)} fetches from the network while it is built"
        raise step.fault(what, code="dockerfile-remote-source", hint="put the file into the zip")
    if "\\" in word or any(character in source for character in _ODD) or not is_printable(source):
        what = f"{step.name} {shown(source)} has a quote, a backslash or a dollar in its name"
        raise step.fault(what, code="dockerfile-copy-path", hint="rename the file")
    if not source:
        raise step.fault(
            f"{step.name} has an empty source", code="dockerfile-copy-path", hint="name a file or a folder"
        )
    if ".." in source.split("/"):
        raise step.fault(
            f"copies {shown(source)} from outside of the context",
            code="dockerfile-outside-context",
            hint="copy from inside",
        )
    try:
        parse_pattern(source)
    except ValueError as fault:
        raise step.fault(
            f"{step.name} {shown(source)} {fault}", code="dockerfile-copy-pattern", hint="correct the pattern"
        ) from None
    return source
