"""Scoring every stored csv again after the program or the reference changed, without any inference."""

import json
from dataclasses import dataclass

from tools.evaluation.intake import describe
from tools.evaluation.receipts import renew_receipt
from tools.evaluation.records import Records, Row
from tools.evaluation.site import Site, steps_dir
from tools.evaluation.verdicts import SCORED
from tools.evaluation.work import score
from tools.layout import RESULTS_NAME
from tools.progress import Progress
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


def rescore(site: Site, records: Records, runner: DockerRunner, progress: Progress) -> list[Move]:
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
        submission = row.submission.id
        for part in site.parts:
            key = site.score_key(part, row.results_sha256)
            if before[part].get(submission, ("", ""))[0] != key:
                inference_key, _ = records.steps(submission)["inference"]
                results = steps_dir(site.layout, "inference") / inference_key / RESULTS_NAME
                record = score(site, runner, results, part)
                content = (record.folder / "scores.json").read_text(encoding="utf-8")
                fresh.append((submission, part, key, content))
        progress("scoring", done, len(rows))
    records.add_scores(fresh)
    for row in rows:
        changed = {
            f"scoring-{part}": key for submission, part, key, _ in fresh if submission == row.submission.id
        }
        if changed:
            for name, key in changed.items():
                records.add_step(row.submission.id, name, key, 0.0)
            steps = {name: key for name, (key, _) in records.steps(row.submission.id).items()}
            renew_receipt(site, row.submission, runner.engine, steps)
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
        submission = row.submission.id
        if submission not in old or submission not in new:
            continue
        places = tuple(
            1 + sum(other > scores[submission] for other in scores.values()) for scores in (old, new)
        )
        move = Move(row, part, old[submission], new[submission], *places)
        if move.before != move.after or move.rank_before != move.rank_after:
            moves.append(move)
    return sorted(moves, key=lambda move: (move.rank_after, move.row.submission.id))


def _metric(site: Site, content: str) -> float:
    return float(json.loads(content)[site.bundle.evaluation.metric])
