"""submission.toml: the team and method of a submission."""

import json
import tomllib

from challenge_bundle.errors import SubmissionError

CARD_NAME = "submission.toml"
MAX_CARD_BYTES = 1 << 16
MAX_DOTS = 16
"""The most dots in one key: each part is a table, and tomllib keeps a path for each of them."""

KEYS = ("team", "method")


def card_text(team: str, method: str) -> str:
    """The text of a submission.toml; the same names give the same text.

    Args:
        team: Printable.
        method: Likewise; may be empty.
    """
    names = {"team": team, "method": method}
    # A JSON text of printable characters is one of TOML's basic strings.
    lines = (f"{key} = {json.dumps(name, ensure_ascii=False)}\n" for key, name in names.items() if name)
    return "".join(lines)


def parse_card(content: bytes) -> dict[str, str]:
    """Parse a submission.toml.

    Args:
        content: Its bytes.

    Returns:
        `team` and `method`, those of them that are there.

    Raises:
        SubmissionError: Too large, not UTF-8, not TOML, a key of many parts, or a value that is no text.
    """
    if len(content) > MAX_CARD_BYTES:
        raise SubmissionError(
            f"is larger than {MAX_CARD_BYTES // 1024} KB",
            CARD_NAME,
            code="card-size",
            hint="keep team and method",
        )
    try:
        text = content.decode("utf-8")
        for number, line in enumerate(text.splitlines(), start=1):
            is_comment = line.lstrip(" \t").startswith("#")
            if line.partition("=")[0].count(".") > MAX_DOTS and not is_comment:
                raise SubmissionError(
                    "a key has too many parts",
                    CARD_NAME,
                    number,
                    code="card-key",
                    hint="keep team and method",
                )
        card = tomllib.loads(text)
    except (ValueError, RecursionError) as fault:
        raise SubmissionError(
            f"is not TOML in UTF-8 ({fault})", CARD_NAME, code="card-toml", hint="write it again"
        ) from None
    for key in KEYS:
        if not isinstance(card.get(key, ""), str):
            raise SubmissionError(
                f"expected a text for '{key}', but got {type(card[key]).__name__}",
                CARD_NAME,
                code="card-value",
                hint=f'write {key} = "..."',
            )
    return {key: card[key] for key in KEYS if key in card}
