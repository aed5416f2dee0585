"""The command that finds how large a test set must be."""

from pathlib import Path

import click

from challenge_bundle.commands.shared import LocalPath, show


@click.command()
@click.argument("pilots", nargs=-1, type=LocalPath(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--difference",
    type=click.FloatRange(min=0.0, min_open=True),
    required=True,
    help="The difference of two scores that the test set is to tell apart, such as 0.02.",
)
@click.option("--metric", default="accuracy", show_default=True, help="The score, with PILOTS.")
@click.option(
    "--entries",
    type=click.IntRange(2, 10_000),
    default=2,
    show_default=True,
    help="Entries on the board: the more pairs, the more cases.",
)
@click.option(
    "--power",
    type=click.FloatRange(0.5, 0.999),
    default=0.8,
    show_default=True,
    help="Chance to find the difference.",
)
@click.option(
    "--error-rate",
    type=click.FloatRange(0.0, 1.0),
    help="Without PILOTS: share of cases the worse one misses.",
)
@click.option(
    "--shared",
    type=click.FloatRange(0.0, 1.0),
    default=0.5,
    show_default=True,
    help="Without PILOTS: share of the better one's errors that both make.",
)
@click.option(
    "--cases-per-group",
    type=click.IntRange(1, 10**6),
    default=1,
    show_default=True,
    help="Without PILOTS: cases of one patient.",
)
@click.option(
    "--within",
    type=click.FloatRange(0.0, 1.0),
    default=0.0,
    show_default=True,
    help="Without PILOTS: correlation of differences within a patient.",
)
def plan(
    pilots: tuple[Path, ...],
    difference: float,
    metric: str,
    entries: int,
    power: float,
    error_rate: float | None,
    shared: float,
    cases_per_group: int,
    within: float,
) -> None:
    """Find how many test cases tell two entries apart, before a challenge opens.

    PILOTS are two folders that the scoring program's --private wrote for two methods of your own on the same
    cases. Without them, say what error rates you expect (--error-rate), for the accuracy.
    """
    from challenge_bundle.leaderboard.plan import assumed_spread, pilot_spread, plan_test_set

    if len(pilots) not in (0, 2) or (not pilots and error_rate is None):
        raise click.UsageError("give two PILOTS, or --error-rate.")
    if pilots:
        spread = pilot_spread(pilots[0], pilots[1], metric)
    else:
        spread = assumed_spread(error_rate or 0.0, difference, shared, cases_per_group, within)
    found = plan_test_set(spread, difference, entries, power)
    of_groups = f" of {found.groups:,} groups (patients)" if found.cases != found.groups else ""
    show(
        {
            "difference": difference,
            "entries": entries,
            "power": power,
            "cases": found.cases,
            "groups": found.groups,
            "from": spread.origin,
        },
        f"{found.cases:,} cases{of_groups} tell a difference of {difference:g} apart on {power:.0%} of test"
        f" sets, among {entries} entries",
        f"from {spread.origin}",
    )
