r"""Patterns of paths, of COPY and of a .dockerignore, matched in time that grows with the path alone.

`*` is any text in one part of a path, `?` one character, `[a-z]` and `[^a-z]` one of a class, `\` takes the
next character as it is; in a .dockerignore `**` is any number of folders.

Source:
    Go's path/filepath.Match; github.com/moby/patternmatcher.
"""

import re
from dataclasses import dataclass

_DEEP = "\0"
_MAX_ALTERNATIVES = 16
_MAX_CHARACTERS = 1000
_TOKEN = re.compile(r"\\(.)|(\[\^?(?:\\.|[^\]\\])(?:\\.|[^\]\\])*\])|(\*+)|(\?)|([^\\\[])", re.DOTALL)
_MEMBER = re.compile(r"(\\.|[^-])(?:-(\\.|[^-]))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class PathPattern:
    """A pattern; use `parse_pattern`.

    Args:
        alternatives: Each an expression for every part of the path; None stands for any number of parts.
    """

    alternatives: tuple[tuple[re.Pattern[str] | None, ...], ...]

    def covers(self, path: str) -> bool:
        """Whether it is true for a path or for a folder that holds it.

        Args:
            path: Relative, with slashes, without `.` and `..`.
        """
        parts = path.split("/")
        return any(_covers(alternative, parts) for alternative in self.alternatives)


def parse_pattern(text: str, crosses_folders: bool = False) -> PathPattern:
    """Parse a pattern.

    Args:
        text: Relative, without `.` and `..`.
        crosses_folders: Whether `**` is any number of folders; else it is the same as `*`.

    Raises:
        ValueError: It is too long, a class or a backslash has no end, or `**` stands too often within names.
    """
    if len(text) > _MAX_CHARACTERS:
        raise ValueError(f"has more than {_MAX_CHARACTERS} characters")
    texts = _written_out(text) if crosses_folders else [text]
    return PathPattern(tuple(tuple(map(_part_expression, one.split("/"))) for one in texts))


def has_wildcards(text: str) -> bool:
    """Whether a source of COPY is a pattern, so that it may match nothing."""
    return any(character in text for character in "*?[")


def _covers(alternative: tuple[re.Pattern[str] | None, ...], parts: list[str]) -> bool:
    end = len(alternative)
    states = _with_skips({0}, alternative)
    for part in parts:
        following: set[int] = set()
        for state in states:
            expression = alternative[state]
            if expression is None:
                following.add(state)
            elif expression.fullmatch(part):
                following.add(state + 1)
        states = _with_skips(following, alternative)
        if end in states:
            return True
    return False


def _with_skips(states: set[int], alternative: tuple[re.Pattern[str] | None, ...]) -> set[int]:
    for state in sorted(states):
        while state < len(alternative) and alternative[state] is None:
            state += 1
            states.add(state)
    return states


def _written_out(text: str) -> list[str]:
    """Write `**` out, which may stand within a name: `a**b` is `ab`, and `a*`, any folders, `b`."""
    done: list[str] = []
    waiting = [text]
    while waiting:
        text = waiting.pop()
        token = next((token for token in _TOKEN.finditer(text) if token[3] and len(token[3]) > 1), None)
        if token is None:
            done.append(text)
            continue
        before, after = text[: token.start()], text[token.end() :].removeprefix("/")
        if not after:
            # What is true for a folder is true for all in it.
            waiting.append(before + "*")
        elif not before or before.endswith("/"):
            waiting.append(before + _DEEP + "/" + after)
        else:
            waiting += [before + after, f"{before}*/{_DEEP}/{after}"]
        if len(done) + len(waiting) > _MAX_ALTERNATIVES:
            raise ValueError("has too many ** within names")
    return done


def _part_expression(part: str) -> re.Pattern[str] | None:
    """Make an expression of one part of a path; None for any number of parts."""
    if part == _DEEP:
        return None
    runs: list[str] = [""]
    position = 0
    while position < len(part):
        token = _TOKEN.match(part, position)
        if token is None:
            raise ValueError("has a [ or a backslash without an end")
        position = token.end()
        if token[3]:
            runs.append("")
        else:
            runs[-1] += _one_character(token)
    if len(runs) == 1:
        return re.compile(runs[0], re.DOTALL)
    # The first place at which a run fits is as good as any later one: no way is tried twice.
    middle = "".join(f"(?>.*?{run})" for run in runs[1:-1])
    return re.compile(f"{runs[0]}{middle}.*{runs[-1]}", re.DOTALL)


def _one_character(token: re.Match[str]) -> str:
    if token[4]:
        return "."
    if not token[2]:
        return re.escape(token[1] or token[5])
    negated = token[2].startswith("[^")
    inner = token[2][1 + negated : -1]
    members: list[str] = []
    position = 0
    while position < len(inner):
        member = _MEMBER.match(inner, position)
        if member is None:
            raise ValueError("has a class that is not valid")
        position = member.end()
        low = member[1][-1]
        high = (member[2] or low)[-1]
        if low > high:
            raise ValueError(f"has the class {low}-{high}, which is empty")
        members.append(f"{re.escape(low)}-{re.escape(high)}")
    return f"[{'^' if negated else ''}{''.join(members)}]"
