"""Scoring every stored csv again after the program or the reference changed, without any inference."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from tools.evaluation.intake import describe
from tools.evaluation.records import Records, Row
from tools.evaluation.site import Site, steps_dir
from tools.evaluation.verdicts import SCORED
from tools.evaluation.work import score
from tools.layout import RESULTS_NAME
from tools.runners.docker import DockerRunner


@dataclass(frozen=True, slots=True)
class Move:
    """What became of a submission's score.

    Args:
        row: The submission.
        part: Of the test cases.
        before: Its score in the manifest's metric.
        after: Its score now.
        rank_before: Its place among all that are scored, from 1; equal scores share one.
        rank_after: Its place now.
    """

    row: Row
    part: str
    before: float
    after: float
    rank_before: int
    rank_after: int

    def __str__(self) -> str:
        return (
            f"{describe(self.row.submission)}, part {self.part}: {self.before:.4f} to {self.after:.4f}"
            f" ({self.after - self.before:+.4f}), place {self.rank_before} to {self.rank_after}"
        )


def rescore(
    site: Site, records: Records, runner: DockerRunner, progress: Callable[[str, int, int], None]
) -> list[Move]:
    """Score what was scored with another program or reference; nothing is replaced before all is scored.

    Args:
        site: Where it is evaluated.
        records: Get the new scores, in one transaction.
        runner: Runs the scoring program.
        progress: Told of how far it has come.

    Returns:
        All whose score or place changed, by part and place.

    Raises:
        ProgramError: The scoring program failed; the old scores stay.
        UnavailableError: The engine went away; likewise.
    """
    rows = [row for row in records.rows() if row.state == SCORED]
    before = {part: records.scores(part) for part in site.parts}
    fresh: list[tuple[str, str, str, str]] = []
    for done, row in enumerate(rows, start=1):
        sha256 = row.submission.sha256
        for part in site.parts:
            key = site.score_key(part, row.results_sha256)
            if before[part].get(sha256, ("", ""))[0] != key:
                inference_key, _ = records.steps(sha256)["inference"]
                results = steps_dir(site.layout, "inference") / inference_key / RESULTS_NAME
                record = score(site, runner, results, part)
                content = (record.folder / "scores.json").read_text(encoding="utf-8")
                fresh.append((sha256, part, key, content))
        progress("scoring", done, len(rows))
    records.add_scores(fresh)
    return [
        move for part in site.parts for move in _moves(site, part, rows, before[part], records.scores(part))
    ]


def _moves(
    site: Site,
    part: str,
    rows: list[Row],
    before: dict[str, tuple[str, str]],
    after: dict[str, tuple[str, str]],
) -> list[Move]:
    old, new = (
        {sha: _metric(site, content) for sha, (_, content) in scores.items()} for scores in (before, after)
    )
    moves = []
    for row in rows:
        sha256 = row.submission.sha256
        if sha256 not in old or sha256 not in new:
            continue
        places = tuple(1 + sum(other > scores[sha256] for other in scores.values()) for scores in (old, new))
        move = Move(row, part, old[sha256], new[sha256], *places)
        if move.before != move.after or move.rank_before != move.rank_after:
            moves.append(move)
    return sorted(moves, key=lambda move: (move.rank_after, move.row.submission.sha256))


def _metric(site: Site, content: str) -> float:
    return float(json.loads(content)[site.bundle.evaluation.metric])
