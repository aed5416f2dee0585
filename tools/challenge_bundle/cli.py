"""The command line: how it starts, how it ends, and which commands it has."""

import contextlib
import os
import shlex
import signal
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

import click

from challenge_bundle.commands.data import data
from challenge_bundle.commands.organiser import evaluate_command, leaderboard, step_command, verify
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
from challenge_bundle.commands.shared import LocalPath
from challenge_bundle.commands.store import store
from challenge_bundle.commands.submissions import check, kit, zip_command
from challenge_bundle.errors import BundleError, DataError, UnavailableError
from challenge_bundle.layout import PROJECT_ROOT, Layout
from challenge_bundle.redaction import find_secrets, redact

SHOWN_DETAILS = 20
SHOWN_ALIKE = 5
"""Of an input's faults, which are alike: more would push the first line, and its cure, off the screen."""
INTERRUPTED = 130
"""As a shell reports it: 128 + SIGINT."""

COMMANDS = (
    doctor,
    data,
    store,
    build,
    wheelhouse_command,
    train,
    infer,
    score,
    run_all_command,
    report,
    zip_command,
    check,
    kit,
    evaluate_command,
    leaderboard,
    verify,
    step_command,
)


_ARGUMENTS = f"{__name__}.arguments"


def _secrets(ctx: click.Context) -> frozenset[str]:
    """The passwords that this command was told, by whatever way."""
    lines: list[str] = []
    if isinstance(ctx.obj, Layout):
        for path in (ctx.obj.env_file, ctx.obj.manifest):
            with contextlib.suppress(OSError):
                lines += path.read_text(encoding="utf-8", errors="replace").splitlines()
    return find_secrets(ctx.meta.get(_ARGUMENTS, ()), os.environ, lines)


def _redacted(fault: click.ClickException, ctx: click.Context) -> click.ClickException:
    """A fault in how a command was called, without the passwords in its arguments."""
    message = redact(fault.format_message(), _secrets(ctx))
    if isinstance(fault, click.UsageError):
        return click.UsageError(message, fault.ctx)
    return click.ClickException(message)


def _show_traceback(kind: type[BaseException], fault: BaseException, trace: TracebackType | None) -> None:
    """A fault of the tool's own: whoever reports it must not have to look for passwords in it."""
    told = "".join(traceback.format_exception(kind, fault, trace))
    ctx = click.get_current_context(silent=True)
    secrets = _secrets(ctx) if ctx else find_secrets(sys.argv[1:], os.environ)
    sys.stderr.write(redact(told, secrets))


class BundleGroup(click.Group):
    """A group whose commands end an expected failure in one line and its exit status."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep what was typed: passwords in it are shown in no message."""
        ctx.meta[_ARGUMENTS] = tuple(args)
        try:
            return super().parse_args(ctx, args)
        except click.ClickException as fault:
            raise _redacted(fault, ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BundleError as fault:
            self.end(ctx, fault)
        except ModuleNotFoundError as fault:
            self.end(ctx, UnavailableError(f"{fault.name} is not installed here; run `make install`"))
        except OSError as fault:
            if fault.filename is None:
                raise
            cause = f"{fault.filename}: {fault.strerror}"
            self.end(ctx, UnavailableError(f"{cause}; look at the folder's owner, mode and free space"))
        except KeyboardInterrupt:
            click.echo("\nInterrupted; the same command goes on where it can.", err=True)
            ctx.exit(INTERRUPTED)
        except click.NoSuchOption as fault:
            if any(fault.option_name in parameter.opts for parameter in self.params):
                where = click.UsageError(self.say_where(ctx, fault.option_name), fault.ctx)
                raise _redacted(where, ctx) from None
            if fault.ctx and any(parameter.name == "arguments" for parameter in fault.ctx.command.params):
                hint = f"{fault.message} Options of the program itself follow after --."
                raise _redacted(click.UsageError(hint, fault.ctx), ctx) from None
            raise _redacted(fault, ctx) from None
        except click.ClickException as fault:
            raise _redacted(fault, ctx) from None

    def say_where(self, ctx: click.Context, name: str) -> str:
        """Show the same command with an option of the tool's own where it belongs: before the command."""
        words: tuple[str, ...] = ctx.meta[_ARGUMENTS]
        command = next(n for n, word in enumerate(words) if word in self.commands)
        place = next(n for n, word in enumerate(words) if n > command and word.partition("=")[0] == name)
        is_flag = any(name in option.opts and getattr(option, "is_flag", False) for option in self.params)
        length = 1 if is_flag or "=" in words[place] else 2
        option, rest = words[place : place + length], words[place + length :]
        moved = [*words[:command], *option, *words[command:place], *rest]
        return f"{name} stands before the command: python tools/bundle.py {shlex.join(moved)}"

    def end(self, ctx: click.Context, fault: BundleError) -> None:
        """Print an expected failure and end."""
        secrets = _secrets(ctx)
        click.echo(f"Error: {redact(str(fault), secrets)}", err=True)
        most = SHOWN_ALIKE if isinstance(fault, DataError) else SHOWN_DETAILS
        for detail in fault.details[:most]:
            click.echo(f"       {redact(detail, secrets)}", err=True)
        if len(fault.details) > most:
            click.echo(f"       ... and {len(fault.details) - most:,} more", err=True)
        ctx.exit(fault.exit_code)


@click.group(
    cls=BundleGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.option(
    "--bundle",
    "root",
    type=LocalPath(exists=True, file_okay=False, path_type=Path),
    default=PROJECT_ROOT,
    help="Folder with the bundle.toml; this project's own by default.",
)
@click.version_option(package_name="challenge-bundle", message="%(version)s")
@click.pass_context
def main(ctx: click.Context, root: Path) -> None:
    """Turn images into a challenge: train, infer, score, pack, check and report."""
    # What is asked to end leaves as little behind as what is interrupted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.excepthook = _show_traceback
    ctx.obj = Layout(root.resolve())


for command in COMMANDS:
    main.add_command(command)
