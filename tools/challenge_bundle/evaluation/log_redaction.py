"""What a participant may see of the output of a submission that ran on the test images.

A program can print the test images to carry them out. So nothing is shown because it looks harmless: only
lines of a few known forms are, and of these only words that were known before the program ran.
"""

import builtins
import re
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from challenge_bundle.guarded import Exceeded, run_guarded

LAST_LINES = 500
"""Number of lines at the end of a log that are read."""

MAX_LINES = 40
MAX_BYTES = 4096
MAX_WORDS = 24
MAX_NUMBERS = 4
"""Limits of one line of an error's message."""

MAX_DIGITS = 5
MAX_SIGNS = 2
"""The largest number of punctuation characters between two words of a message."""

MAX_CHARACTERS = 300
"""Length to which a message is cut."""

MAX_ERRORS = 3
"""Number of errors whose message is shown: the last ones."""

HIDDEN = "..."

_MAX_SOURCE_BYTES = 1 << 22
"""Of all files together; the rest is not read."""

_TRACEBACK = "Traceback (most recent call last):"
_FRAME = re.compile(r'\s*File "(?P<path>[^"]*)", line (?P<line>\d{1,6})(?:, in (?P<name>[\w<>.]+))?$')
_ERROR = re.compile(r"(?P<kind>[A-Za-z_][\w.]*)(?:: ?(?P<text>.*))?$")
_PROGRESS = re.compile(r"[^\w/]*(?P<done>\d{1,9}) ?/ ?(?P<total>\d{1,9})\b")
_SIGNS = frozenset(" .,:;()[]'\"=<>-/")
_TOKEN = re.compile(r"\w+|\W")
_WORD = re.compile(r"[^\W\d]\w*")
_ERROR_NAMES = frozenset(
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
)

_ERROR_WORDS = """
Cannot Could Expected Failed Got Input Invalid Missing No Output Unable a access an and any are argument
arguments array as assertion assignment associated at attribute available axis bad base batch be because
before bool bounds broadcast by byte bytes call callable calling cannot changed channel channels
character characters class codec columns command comparison complex concatenate connection continuation
conversion convert could data decimal decode defined denied depth device dict dictionary dimension
dimensions directory disk divided division does domain dtype during element elements empty encode enough
error exceeded expected expects failed file files float for format found from function global got graph
had has have height image images import in index indices initialize input inputs instance int integer
invalid is it item iterable iteration kernel key keyword large length less limit line list literal load
loaded local long many mask match math matrix maximum memory missing mode model module modulo more
multiple must name named names negative no node not null number object of on one only open operand
operands operation or out output outputs overflow path permission pixel position positional process
provided range read readable recursion referenced refused required resource resources result returned
rows runtime separator sequence session shape shapes should signal size space start status str string
subscriptable such support supported system takes temporarily tensor than that the time to together too
truncated tuple type types unable unavailable unexpected unhashable unknown unpack unsupported update use
used value values variable was were while width with without writable write zero
"""
"""Words of the messages of Python's and the numerical libraries' errors."""


@dataclass(frozen=True, slots=True)
class Known:
    """What was known before the program ran, and so carries nothing of the test set.

    Args:
        sources: Lines of each Python file of the submission, by its name in the zip.
        words: Words of those files; none that names a test image or is in the reference.
        images: Number of test images.
    """

    sources: Mapping[str, Sequence[str]]
    words: frozenset[str]
    images: int


def show_log(
    folder: Path, lines: Sequence[str], image_names: Collection[str], hidden_words: Collection[str]
) -> tuple[str, ...]:
    """Filter a log in a process of its own, which reads the submission's code; see filter_log."""
    arguments = {"folder": str(folder.absolute()), "lines": list(lines[-LAST_LINES:])}
    arguments |= {"image_names": sorted(image_names), "hidden_words": sorted(hidden_words)}
    try:
        shown = run_guarded("challenge_bundle.evaluation.log_redaction:find_shown", arguments)
    except Exceeded:
        return ()
    return _within_budget([str(line) for line in shown])


def find_shown(
    folder: str, lines: list[str], image_names: list[str], hidden_words: list[str]
) -> Iterator[str]:
    """Yield what a participant may see of a log; see filter_log."""
    yield from filter_log(lines, read_known(Path(folder), image_names, hidden_words))


def read_known(folder: Path, image_names: Collection[str], hidden_words: Collection[str]) -> Known:
    """Read the Python files of a submission.

    Args:
        folder: The unpacked submission.
        image_names: Names of the test images; never shown, not even if the submission's own files have them.
        hidden_words: What the reference says of images, such as their labels: as printed words these would
            be answers. Neither they nor the words in them are ever shown.
    """
    sources: dict[str, list[str]] = {}
    left = _MAX_SOURCE_BYTES
    for path in sorted(folder.rglob("*.py")):
        left -= path.stat().st_size
        if left >= 0:
            text = path.read_text(encoding="utf-8", errors="replace")
            sources[path.relative_to(folder).as_posix()] = text.splitlines()
    forbidden = {part.casefold() for text in hidden_words for part in (text, *_WORD.findall(text))}
    for name in image_names:
        forbidden |= {name.casefold(), name.rpartition(".")[0].casefold()}
    found = {word for lines in sources.values() for line in lines for word in _WORD.findall(line)}
    words = frozenset(word for word in found | set(_ERROR_WORDS.split()) if word.casefold() not in forbidden)
    return Known(sources, words, len(image_names))


def filter_log(lines: Iterable[str], known: Known) -> tuple[str, ...]:
    """Keep tracebacks through the submission's own code, the last errors' messages, and the last progress.

    The source lines of a traceback come from the submission's files, not from the output. A choice among
    known words and numbers can still be a message; the limits bound it to a few hundred bits.

    Args:
        lines: As the program printed them, made printable.
        known: See Known.

    Returns:
        At most MAX_LINES lines, together at most MAX_BYTES bytes.
    """
    kept: list[str] = []
    progress = ""
    in_traceback = False
    for line in deque(lines, maxlen=LAST_LINES):
        if line.strip() == _TRACEBACK:
            in_traceback = True
            kept.append(_TRACEBACK)
        elif in_traceback and (frame := _FRAME.match(line)):
            kept += _show_frame(frame, known)
        elif in_traceback and (error := _ERROR.match(line)):
            kept.append(_show_error(error, known))
            in_traceback = False
        elif not in_traceback and (count := _PROGRESS.match(line)):
            progress = _show_progress(count, known) or progress
        elif not in_traceback and (error := _ERROR.match(line)) and error["kind"] in _ERROR_NAMES:
            kept.append(_show_error(error, known))
    return _within_budget([*([progress] if progress else []), *_last_errors(kept)])


def _show_frame(frame: "re.Match[str]", known: Known) -> list[str]:
    """A frame in the submission's own code with its source line; any other as `(in a library)`."""
    number = int(frame["line"])
    for name, source in known.sources.items():
        if frame["path"].endswith(f"/{Path(name).name}") and 1 <= number <= len(source):
            function = frame["name"] or "<module>"
            shown = function if function in known.words or function == "<module>" else HIDDEN
            return [f'  File "{name}", line {number}, in {shown}', f"    {source[number - 1].strip()}"]
    return ["  (in a library)"]


def _show_error(error: "re.Match[str]", known: Known) -> str:
    kind = error["kind"].rpartition(".")[2]
    shown = kind if kind in _ERROR_NAMES or kind in known.words else HIDDEN
    if not error["text"]:
        return shown
    return f"{shown}: {_show_message(error['text'], known)}"


def _show_message(text: str, known: Known) -> str:
    """A message's known words and, each after a word, a few small numbers; the rest becomes dots."""
    shown: list[str] = []
    words = numbers = signs = 0
    after_word = False
    for token in _TOKEN.findall(text):
        if token.isdigit():
            numbers += 1
            fits = after_word and numbers <= MAX_NUMBERS and len(token) <= MAX_DIGITS
            shown.append(token if fits else HIDDEN)
            after_word, signs = False, 0
        elif token[0].isalnum() or token[0] == "_":
            words += 1
            after_word = words <= MAX_WORDS and token in known.words
            shown.append(token if after_word else HIDDEN)
            signs = 0
        elif token in _SIGNS:
            signs += 1
            # Punctuation could carry a message as well.
            shown.append(token if signs <= MAX_SIGNS else "")
    # One mark however much was hidden: its length would be a message, too.
    message = re.sub(r"\.\.\.(?:\W*\.\.\.)+", HIDDEN, "".join(shown))
    return message[:MAX_CHARACTERS].strip()


def _show_progress(count: "re.Match[str]", known: Known) -> str:
    done, total = int(count["done"]), int(count["total"])
    return f"{done}/{total} images" if total == known.images and done <= total else ""


def _last_errors(kept: Sequence[str]) -> list[str]:
    """The last tracebacks; a frame that is repeated, as in endless recursion, is shown once."""
    blocks: list[list[str]] = [[]]
    for line in kept:
        if line == _TRACEBACK and blocks[-1]:
            blocks.append([])
        if line not in blocks[-1] or not line.startswith("  "):
            blocks[-1].append(line)
        if not line.startswith("  ") and line != _TRACEBACK:
            blocks.append([])
    return [line for block in [block for block in blocks if block][-MAX_ERRORS:] for line in block]


def _within_budget(lines: Sequence[str]) -> tuple[str, ...]:
    """The last lines that fit."""
    chosen: list[str] = []
    left = MAX_BYTES
    for line in reversed(lines[-MAX_LINES:]):
        left -= len(line.encode()) + 1
        if left < 0:
            break
        chosen.append(line)
    return tuple(reversed(chosen))
