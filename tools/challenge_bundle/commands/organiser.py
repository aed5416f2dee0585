"""The organiser's commands: evaluate participants' submissions, rank them, check a receipt."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from challenge_bundle.commands.shared import (
    LocalPath,
    read_bundle,
    relative,
    show,
    wheelhouse_option,
    working,
)
from challenge_bundle.errors import DataError, UnavailableError
from challenge_bundle.findings import ERROR
from challenge_bundle.layout import Layout

if TYPE_CHECKING:
    from challenge_bundle.evaluation.rescore import Rescored
    from challenge_bundle.findings import Finding

database_option = click.option(
    "--database",
    envvar="BUNDLE_DATABASE",
    show_envvar=True,
    help="URL of the records, such as postgresql://HOST/NAME; a file in .bundle/evaluation/ by default.",
)


@click.command("evaluate")
@click.argument("submissions", nargs=-1, type=LocalPath(path_type=Path))
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=0,
    help="Submissions at a time; 0, the default, is as many as the limits of bundle.toml let fit.",
)
@click.option(
    "--rescore",
    is_flag=True,
    help="First score every stored csv again if the reference or the scoring program has changed.",
)
@click.option(
    "--reopen",
    metavar="SHA256",
    help="Evaluate a submission again that was refused, set aside or dropped; `set-aside`: all set aside.",
)
@click.option(
    "--drop",
    metavar="SHA256",
    help="Withdraw a submission: it has no rank and does not count towards the daily limit.",
)
@click.option(
    "--baseline",
    is_flag=True,
    help="The SUBMISSIONS are your own, for comparison: on the board without a rank, in no quota.",
)
@click.option(
    "--probe",
    is_flag=True,
    help="Then run each scored submission on renamed, reordered, single and stripped images.",
)
@database_option
@wheelhouse_option
@click.pass_obj
def evaluate_command(
    layout: Layout,
    submissions: tuple[Path, ...],
    workers: int,
    rescore: bool,
    reopen: str | None,
    drop: str | None,
    baseline: bool,
    probe: bool,
    database: str | None,
    wheelhouse: Path | None,
) -> None:
    """Evaluate participants' SUBMISSIONS (files or folders of them): take in, build, run isolated, score.

    Finished steps of earlier runs are not repeated; without SUBMISSIONS, unfinished ones go on. A zip is
    named TEAM__METHOD.zip or holds a submission.toml with team and method; its modification time counts as
    the time of receipt. Predictions alone (TEAM__METHOD.csv, or a zip with nothing else) are only scored,
    where submission.kinds takes them. A submission is set aside when every attempt fails although the engine
    works: fix the cause, then --reopen it. A dropped one was withdrawn by the organiser.
    """
    from challenge_bundle.display import SubmissionDisplay
    from challenge_bundle.evaluation import decisions
    from challenge_bundle.evaluation.context import open_evaluation
    from challenge_bundle.evaluation.engine_connection import connector
    from challenge_bundle.evaluation.evaluator import run_evaluation
    from challenge_bundle.evaluation.intake import describe, find_zips
    from challenge_bundle.evaluation.invariance import probe_all
    from challenge_bundle.evaluation.records import FINAL
    from challenge_bundle.evaluation.rescore import rescore as score_again
    from challenge_bundle.runs.programs import INFERENCE, SCORING

    if baseline and not submissions:
        raise click.UsageError("--baseline needs SUBMISSIONS: it says that these are your own.")
    find_zips(submissions)  # a misspelt path ends here, before wheels are downloaded
    with (
        working(layout) as display,
        open_evaluation(read_bundle(layout), layout, database) as (context, records),
    ):
        is_work = bool(submissions or reopen or probe) or any(r.state not in FINAL for r in records.rows())
        programs = (INFERENCE, SCORING) if is_work else (SCORING,)
        connect = connector(context.bundle, layout, wheelhouse, programs, display.line)
        dropped = decisions.drop(records, drop) if drop else []
        reopened = decisions.reopen(context, records, reopen) if reopen else []
        show(
            {"dropped": [one.id for one in dropped], "reopened": [one.id for one in reopened]},
            *(f"dropped: {describe(one)}" for one in dropped),
            *(f"evaluated again: {describe(one)}" for one in reopened),
        )
        if rescore:
            with closing(connect()) as engine:
                _show_rescored(score_again(context, records, engine, display.progress))
        with SubmissionDisplay() as table:
            shows = table.show, table.announce
            done = run_evaluation(context, records, connect, submissions, workers, *shows, baseline)
        if probe:
            with closing(connect()) as engine:
                probe_all(context, records, engine, display.progress)
        rows = records.rows()
    probed = [row for row in rows if probe and row.probe is not None]
    feedback = layout.evaluation / "feedback"
    show(
        done.document() | {"submissions": [row.document() for row in rows], "feedback": feedback},
        *done.lines(),
        *(line for row in probed for line in row.probe_lines()),
        f"feedback: {relative(feedback)}   Next: leaderboard",
    )
    if done.waiting:
        raise UnavailableError(
            f"{len(done.waiting)} submissions wait for a reason outside of them",
            code="submissions-wait",
            hint="fix the cause that the table names, and run `evaluate` again",
        )


@click.command("step")
@click.argument("name", type=click.Choice(["build", "inference", "scoring"]))
@click.argument("submission")
@wheelhouse_option
@click.pass_obj
def step_command(layout: Layout, name: str, submission: str, wheelhouse: Path | None) -> None:
    """Do one step of a SUBMISSION (its SHA-256) that was taken in, for a scheduler of your own.

    A finished step is not repeated, and `evaluate` takes over its result. Only this submission is locked, so
    that steps of others can run at the same time, on any machine that shares the folder.
    """
    from challenge_bundle.evaluation.context import read_context
    from challenge_bundle.evaluation.engine_connection import connector
    from challenge_bundle.evaluation.step_sequence import run_one_step
    from challenge_bundle.runs.programs import INFERENCE, SCORING

    bundle = read_bundle(layout)
    connect = connector(bundle, layout, wheelhouse, (INFERENCE, SCORING), click.echo)
    context = read_context(bundle, layout)
    with closing(connect()) as engine:
        record = run_one_step(context, engine, submission, name)
    show(
        {
            "step": name,
            "finding": record.verdict.finding if record.verdict else None,
            "key": record.key,
            "files": record.files,
            "facts": record.facts,
            "record": record.folder,
        },
        f"{name}: {record.verdict or 'done'}",
        f"record: {relative(record.folder)}",
    )


@click.command()
@click.option("--phase", help="A phase of bundle.toml; by default the last that has opened.")
@click.option(
    "--part",
    type=click.Choice(["all", "public", "final"]),
    help="The split of the test set: public, or final (the private one); by default that of the phase.",
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    help="A score to rank by, each with a board of its own; by default those of bundle.toml.",
)
@click.option(
    "--output",
    type=LocalPath(file_okay=False, path_type=Path),
    help="Folder of the boards; leaderboard/PHASE-PART/publish by default.",
)
@click.option(
    "--per-case",
    type=LocalPath(dir_okay=False, path_type=Path),
    help="Also write each case's scores into this csv (case_id,alg_01,...), for the organiser alone.",
)
@database_option
@click.pass_obj
def leaderboard(
    layout: Layout,
    phase: str | None,
    part: str | None,
    metrics: tuple[str, ...],
    output: Path | None,
    per_case: Path | None,
    database: str | None,
) -> None:
    """Rank the submissions, with the uncertainty of ranks; writes leaderboard.html, .json and .csv.

    Publish the folder leaderboard/PHASE-PART/publish. Failures, look-alike names, suspicious agreements,
    scores in parts of the test set and what probes found go to the organiser's own page beside it,
    organiser/organiser.html; bundle.toml can put failures and agreements on the board.
    """
    from challenge_bundle.evaluation.context import open_evaluation
    from challenge_bundle.leaderboard.board import board_document
    from challenge_bundle.leaderboard.build import make_boards, subgroup_tables
    from challenge_bundle.leaderboard.case_export import export_cases
    from challenge_bundle.leaderboard.evaluated import read_evaluated
    from challenge_bundle.leaderboard.organiser_notes import collect_notes
    from challenge_bundle.report.leaderboard_page import board_text, write_boards, write_organiser_page

    with working(layout), open_evaluation(read_bundle(layout), layout, database) as (context, records):
        evaluated = read_evaluated(context, records, phase, part, metrics)
        exported = export_cases(evaluated, per_case) if per_case else []
        boards = make_boards(evaluated)
        board = boards[0]
        page = write_boards(boards, output or layout.leaderboard(board.phase, board.part))
        notes = collect_notes(board, records.rows())
        private = layout.findings_page(board.phase, board.part)
        write_organiser_page(notes, private, subgroup_tables(evaluated))
    is_private = board.part == "final"
    documents = [board_document(one) for one in boards]
    show(
        {
            "board": documents[0],
            "further_boards": documents[1:],
            "notes": notes.lines(),
            "page": page,
            "organiser_page": private,
            "per_case": exported,
        },
        *(board_text(one) for one in boards),
        *notes.lines(),
        *["This board shows the private split: publish it when the phase is over."] * is_private,
        *(f"scores of cases, for the organiser alone: {relative(path)}" for path in exported),
        f"for the organiser alone: {relative(private)}   ({private.resolve().as_uri()})",
        f"page: {relative(page)}   (open it: {page.resolve().as_uri()}; .json and .csv are in its folder)",
    )


@click.command()
@click.argument("receipt", type=LocalPath(dir_okay=False, path_type=Path))
@click.option(
    "--public-key",
    type=LocalPath(dir_okay=False, path_type=Path),
    help="Check only the signature, with this file; needs neither the bundle nor an engine.",
)
@database_option
@wheelhouse_option
@click.pass_obj
def verify(
    layout: Layout, receipt: Path, public_key: Path | None, database: str | None, wheelhouse: Path | None
) -> None:
    """Check a RECEIPT: its signature, all of its fields and, by scoring the stored csv again, its scores."""
    from challenge_bundle.evaluation.context import open_evaluation
    from challenge_bundle.evaluation.engine_connection import connector
    from challenge_bundle.evaluation.receipts import check_scores, check_signature, check_stored
    from challenge_bundle.evaluation.signing import read_public_key
    from challenge_bundle.formats.receipt import read_receipt
    from challenge_bundle.runs.programs import SCORING

    document = read_receipt(receipt)
    if public_key:
        _show_checks([check_signature(document, read_public_key(public_key))], receipt)
        return
    if not layout.solution_csv("testing").exists():
        raise DataError(
            "its fields can be checked only in the organiser's bundle, which is not here",
            receipt,
            code="not-the-organisers-bundle",
            hint="check its signature with --public-key FILE; the key is published with the board",
        )
    with (
        working(layout) as display,
        open_evaluation(read_bundle(layout), layout, database) as (context, records),
    ):
        checks = check_stored(context, records, document)
        if any(check.location == "digests, results" and check.severity != ERROR for check in checks):
            connect = connector(context.bundle, layout, wheelhouse, (SCORING,), display.line)
            with closing(connect()) as engine:
                checks += check_scores(context, engine, records, document)
    _show_checks(checks, receipt)


def _show_checks(checks: "Sequence[Finding]", receipt: Path) -> None:
    """Print what was compared; an error among it ends the command with status 1."""
    from challenge_bundle.formats.receipt import differing

    show(
        {"valid": not differing(checks), "checks": checks},
        *(
            f"DIFFERS {check.location}: {check.message}"
            if check.severity == ERROR
            else f"same    {check.location}"
            for check in checks
        ),
    )
    if differing(checks):
        raise DataError(
            f"{len(differing(checks))} of {len(checks)} fields are not as in the receipt",
            receipt,
            code="receipt-differs",
            hint="see the lines above",
        )


def _show_rescored(rescored: "Rescored") -> None:
    moves: list[dict[str, Any]] = [move.document() for move in rescored.moves]
    lines = [str(move) for move in rescored.moves]
    if rescored.without_score:
        lines.append(
            f"{rescored.without_score} had no score in evaluation.metric before, so nothing to compare with"
        )
    lines.append(f"scored again: {rescored.submissions}; {len(moves)} changed in score or place")
    show(
        {
            "rescored": {
                "submissions": rescored.submissions,
                "moves": moves,
                "without_score_before": rescored.without_score,
            }
        },
        *lines,
    )
