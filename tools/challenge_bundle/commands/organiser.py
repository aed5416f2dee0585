"""The organiser's side: evaluating strangers' submissions, ranking them, proving a score."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from challenge_bundle.commands.shared import LocalPath, read_bundle, relative, wheelhouse_option, working
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
@click.option("--workers", type=click.IntRange(min=0), default=0, help="At a time; 0 is as many as fit.")
@click.option("--rescore", is_flag=True, help="First score every stored csv again, where that changed.")
@click.option(
    "--reopen",
    metavar="SHA256",
    help="Evaluate one again that was refused, set aside or dropped; `set-aside`: all of those.",
)
@click.option("--drop", metavar="SHA256", help="Take one out: it counts for no rank and no quota.")
@click.option("--probe", is_flag=True, help="Then run each on renamed, reordered, single and stripped files.")
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
    probe: bool,
    database: str | None,
    wheelhouse: Path | None,
) -> None:
    """Evaluate strangers' SUBMISSIONS (zips, or folders of them): take in, build, run in the sandbox, score.

    What an earlier run did, however it ended, is not done again; without SUBMISSIONS, what has not ended
    goes on. A zip is named TEAM__METHOD.zip, or holds a submission.toml with team and method; its file's time
    counts as the time at which it was received.
    """
    from challenge_bundle.display import SubmissionDisplay
    from challenge_bundle.evaluation import decisions
    from challenge_bundle.evaluation.connection import connector
    from challenge_bundle.evaluation.context import open_evaluation
    from challenge_bundle.evaluation.evaluator import run_evaluation
    from challenge_bundle.evaluation.intake import describe
    from challenge_bundle.evaluation.invariance import probe_all
    from challenge_bundle.evaluation.records import FINAL
    from challenge_bundle.evaluation.rescore import rescore as score_again
    from challenge_bundle.runs.programs import INFERENCE, SCORING

    with (
        working(layout) as display,
        open_evaluation(read_bundle(layout), layout, database) as (context, records),
    ):
        is_work = bool(submissions or reopen or probe) or any(r.state not in FINAL for r in records.rows())
        programs = (INFERENCE, SCORING) if is_work else (SCORING,)
        connect = connector(context.bundle, layout, wheelhouse, programs, display.line)
        for submission in decisions.drop(records, drop) if drop else ():
            click.echo(f"dropped: {describe(submission)}")
        for submission in decisions.reopen(context, records, reopen) if reopen else ():
            click.echo(f"evaluated again: {describe(submission)}")
        if rescore:
            with closing(connect()) as engine:
                _show_moves(score_again(context, records, engine, display.progress))
        with SubmissionDisplay() as table:
            done = run_evaluation(context, records, connect, submissions, workers, table.show, table.say)
        if probe:
            with closing(connect()) as engine:
                probe_all(context, records, engine, display.progress)
        probed = [row for row in records.rows() if row.probe is not None] if probe else []
    for line in (*done.lines(), *(line for row in probed for line in row.probe_lines())):
        click.echo(line)
    click.echo(f"feedback: {relative(layout.evaluation / 'feedback')}   Next: leaderboard")
    if done.waiting:
        raise UnavailableError(f"{len(done.waiting)} submissions wait; mend it, and run `evaluate` again")


@click.command("step")
@click.argument("name", type=click.Choice(["build", "inference", "scoring"]))
@click.argument("submission")
@wheelhouse_option
@click.pass_obj
def step_command(layout: Layout, name: str, submission: str, wheelhouse: Path | None) -> None:
    """Do a step of a SUBMISSION (its SHA-256) that was taken in; for a scheduler of your own.

    A step that is done is not done again, and `evaluate` takes over what was done. It locks its submission
    alone, so that steps of others can run at the same time, on any machine that shares the folder.
    """
    from challenge_bundle.evaluation.connection import connector
    from challenge_bundle.evaluation.context import read_context
    from challenge_bundle.evaluation.step_sequence import run_one_step
    from challenge_bundle.runs.programs import INFERENCE, SCORING

    bundle = read_bundle(layout)
    connect = connector(bundle, layout, wheelhouse, (INFERENCE, SCORING), click.echo)
    context = read_context(bundle, layout)
    with closing(connect()) as engine:
        record = run_one_step(context, engine, submission, name)
    click.echo(f"{name}: {record.verdict or 'done'}")
    click.echo(f"record: {relative(record.folder)}")


@click.command()
@click.option("--phase", help="Of bundle.toml; the last that has opened by default.")
@click.option(
    "--part", type=click.Choice(["all", "public", "final"]), help="Of the cases; the phase's by default."
)
@click.option(
    "--output",
    type=LocalPath(file_okay=False, path_type=Path),
    help=".bundle/leaderboards/PHASE-PART by default.",
)
@database_option
@click.pass_obj
def leaderboard(
    layout: Layout, phase: str | None, part: str | None, output: Path | None, database: str | None
) -> None:
    """Rank the submissions, with their uncertainty; writes leaderboard.html, .json and .csv.

    What is not for everybody (failures, look-alike names, agreements, probes) goes to the organiser's own
    page, .bundle/organiser/PHASE-PART.html; bundle.toml can put some of it on the board.
    """
    from challenge_bundle.evaluation.context import open_evaluation
    from challenge_bundle.leaderboard.build import make_board
    from challenge_bundle.leaderboard.organiser_notes import collect_notes
    from challenge_bundle.report.leaderboard_page import board_text, write_board, write_organiser_page

    with working(layout), open_evaluation(read_bundle(layout), layout, database) as (context, records):
        board = make_board(context, records, phase, part)
        page = write_board(board, output or layout.leaderboard(board.phase, board.part))
        findings = collect_notes(board, records.rows())
        private = layout.findings_page(board.phase, board.part)
        write_organiser_page(findings, private)
    click.echo(board_text(board))
    for line in findings.lines():
        click.echo(line)
    if board.part == "final":
        click.echo("This board shows the hidden part: publish it when the phase is over.")
    click.echo(f"for the organiser alone: {relative(private)}   ({private.resolve().as_uri()})")
    click.echo(f"page: {relative(page)}   (open it: {page.resolve().as_uri()}; .json and .csv beside it)")


@click.command()
@click.argument("receipt", type=LocalPath(dir_okay=False, path_type=Path))
@click.option(
    "--public-key",
    type=LocalPath(dir_okay=False, path_type=Path),
    help="Check the signature alone, with this file; needs neither the bundle nor an engine.",
)
@database_option
@wheelhouse_option
@click.pass_obj
def verify(
    layout: Layout, receipt: Path, public_key: Path | None, database: str | None, wheelhouse: Path | None
) -> None:
    """Check a RECEIPT: its signature, all that it says, and, by scoring its csv again, its scores."""
    from challenge_bundle.evaluation.connection import connector
    from challenge_bundle.evaluation.context import open_evaluation
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
            "compared with what the organiser has, which is not here; --public-key FILE (beside the board)"
            " checks its signature",
            receipt,
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
    """Print what was compared.

    Raises:
        DataError: Something differs.
    """
    for check in checks:
        click.echo(
            f"{'DIFFERS' if check.severity == ERROR else 'same   '} {check.location}"
            + (f": {check.message}" * (check.severity == ERROR))
        )
    if any(check.severity == ERROR for check in checks):
        raise DataError("not what it was when the receipt was written; see above", receipt)


def _show_moves(rescored: "Rescored") -> None:
    for move in rescored.moves:
        click.echo(str(move))
    if rescored.without_score:
        click.echo(
            f"{rescored.without_score} had no score in evaluation.metric before, so nothing to compare with"
        )
    click.echo(f"scored again: {rescored.submissions}; {len(rescored.moves)} changed in score or place")
