"""The command line: how it starts, and which commands it has."""

import os
import signal
import sys
import traceback
from pathlib import Path
from types import TracebackType

import click

from challenge_bundle.commands.data import data
from challenge_bundle.commands.error_boundary import BundleGroup, secrets_of
from challenge_bundle.commands.new import new
from challenge_bundle.commands.organiser import evaluate_command, leaderboard, step_command, verify
from challenge_bundle.commands.plan import plan
from challenge_bundle.commands.programs import (
    build,
    doctor,
    infer,
    report,
    run_all_command,
    score,
    train,
    wheelhouse_command,
)
from challenge_bundle.commands.shared import LocalPath, json_option
from challenge_bundle.commands.store import store
from challenge_bundle.commands.submissions import check, kit, zip_command
from challenge_bundle.installation import default_root
from challenge_bundle.layout import Layout
from challenge_bundle.redaction import find_secrets, redact

COMMANDS = {
    "From images to a report": (doctor, new, run_all_command),
    "Data": (data, store),
    "The three programs, one by one": (build, wheelhouse_command, train, infer, score, report),
    "For participants": (zip_command, check),
    "For organisers": (kit, plan, evaluate_command, leaderboard, verify, step_command),
}


def _show_traceback(kind: type[BaseException], fault: BaseException, trace: TracebackType | None) -> None:
    """Print a bug's traceback without passwords, so that it can be sent to somebody as it is."""
    text = "".join(traceback.format_exception(kind, fault, trace))
    ctx = click.get_current_context(silent=True)
    secrets = secrets_of(ctx) if ctx else find_secrets(sys.argv[1:], os.environ)
    sys.stderr.write(redact(text, secrets))


@click.group(
    cls=BundleGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.option(
    "--bundle",
    "root",
    type=LocalPath(exists=True, file_okay=False, path_type=Path),
    default=default_root,
    help="Folder with the bundle.toml; the current one by default, or, if that has none, a checkout's own.",
)
@json_option
@click.version_option(package_name="challenge-bundle", message="%(version)s")
@click.pass_context
def main(ctx: click.Context, root: Path) -> None:
    """Turn images into a challenge: train, infer, score, pack, check and report."""
    # What is asked to end leaves as little behind as what is interrupted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.excepthook = _show_traceback
    ctx.obj = Layout(root.resolve())


for title, commands in COMMANDS.items():
    main.add_section(title, commands)
