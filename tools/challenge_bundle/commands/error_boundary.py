"""The error boundary of the command line: an expected failure ends in one line, or one JSON document."""

import contextlib
import itertools
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

import click

from challenge_bundle.commands.shared import JSON_STREAM, RESULT, json_option, plain
from challenge_bundle.errors import BundleError, DataError, UnavailableError
from challenge_bundle.findings import ERROR, Finding
from challenge_bundle.installation import command_name, package_hint
from challenge_bundle.layout import Layout
from challenge_bundle.redaction import find_secrets, redact

SHOWN_DETAILS = 20
SHOWN_ALIKE = 5
"""Of an input's faults, which are alike: more would push the first line, and its hint, off the screen."""
INTERRUPTED = 130
"""As a shell reports it: 128 + SIGINT."""

_ARGUMENTS = f"{__name__}.arguments"
_ERROR = f"{__name__}.error"


def secrets_of(ctx: click.Context) -> frozenset[str]:
    """The passwords among a command's arguments, in its environment, its .env and its bundle.toml."""
    lines: list[str] = []
    if isinstance(ctx.obj, Layout):
        for path in (ctx.obj.env_file, ctx.obj.manifest):
            with contextlib.suppress(OSError):
                lines += path.read_text(encoding="utf-8", errors="replace").splitlines()
    return find_secrets(ctx.meta.get(_ARGUMENTS, ()), os.environ, lines)


class OrderedGroup(click.Group):
    """A group that lists its commands in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands."""
        return list(self.commands)


class BundleGroup(OrderedGroup):
    """A group whose commands all take --json, and end an expected failure in one line and its exit status."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sections: dict[str, tuple[click.Command, ...]] = {}

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Add a command, and --json to it and to those below it."""
        super().add_command(cmd, name)
        for command in _commands_in(cmd):
            if not any("--json" in parameter.opts for parameter in command.params):
                json_option(command)

    def add_section(self, title: str, commands: Sequence[click.Command]) -> None:
        """Add commands under a heading of the help."""
        self.sections[title] = tuple(commands)
        for command in commands:
            self.add_command(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, by section."""
        limit = formatter.width - 6 - max(map(len, self.commands), default=0)
        for title, commands in self.sections.items():
            with formatter.section(title):
                formatter.write_dl(
                    [(str(command.name), command.get_short_help_str(limit)) for command in commands]
                )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the arguments as they were typed: a password in them is shown in no message."""
        ctx.meta[_ARGUMENTS] = tuple(args)
        try:
            return super().parse_args(ctx, args)
        except click.ClickException as fault:
            redacted = _redacted(fault, ctx)
            _keep_error(ctx, _usage_finding(redacted))
            if stream := _json_stream(ctx):
                print_document(ctx, stream)
            raise redacted from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; with --json, print its result or its failure as one document."""
        try:
            return self._run(ctx)
        except click.ClickException as fault:
            redacted = _redacted(self._explained(ctx, fault), ctx)
            _keep_error(ctx, _usage_finding(redacted))
            raise redacted from None
        except click.Abort:
            _keep_error(ctx, Finding("aborted", ERROR, "", "the command was aborted"))
            raise
        except (click.exceptions.Exit, SystemExit):
            raise
        except Exception as fault:
            # A bug: its traceback goes to standard error, without passwords, as sys.excepthook prints it.
            message = f"{type(fault).__name__}: {fault}"
            _keep_error(ctx, Finding("internal-error", ERROR, "", message, "report it with the traceback"))
            raise
        finally:
            if stream := _json_stream(ctx):
                print_document(ctx, stream)

    def _run(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BundleError as fault:
            self._end(ctx, fault)
        except ModuleNotFoundError as fault:
            missing = UnavailableError(
                f"the package {fault.name} is not installed",
                code="not-installed",
                hint=package_hint(str(fault.name)),
            )
            self._end(ctx, missing)
        except OSError as fault:
            if fault.filename is None:
                raise
            refused = UnavailableError(
                str(fault.strerror),
                fault.filename,
                code="file-access",
                hint="check the folder's owner, mode and free space",
            )
            self._end(ctx, refused)
        except KeyboardInterrupt:
            hint = "run the same command again: it continues where it can"
            _keep_error(ctx, Finding("interrupted", ERROR, "", "the command was interrupted", hint))
            click.echo(f"\nInterrupted; {hint}.", err=True)
            ctx.exit(INTERRUPTED)

    def _explained(self, ctx: click.Context, fault: click.ClickException) -> click.ClickException:
        """A usage error with the hint that this command line can give."""
        if not isinstance(fault, click.NoSuchOption):
            return fault
        if any(fault.option_name in parameter.opts for parameter in self.params):
            return click.UsageError(self._where_it_belongs(ctx, fault.option_name), fault.ctx)
        if fault.ctx and any(parameter.name == "arguments" for parameter in fault.ctx.command.params):
            return click.UsageError(
                f"{fault.format_message()} Options of the program itself follow after --.", fault.ctx
            )
        return fault

    def _where_it_belongs(self, ctx: click.Context, name: str) -> str:
        """The same command with an option of the tool's own where it belongs: before the command."""
        words: tuple[str, ...] = ctx.meta[_ARGUMENTS]
        command = next(n for n, word in enumerate(words) if word in self.commands)
        place = next(n for n, word in enumerate(words) if n > command and word.partition("=")[0] == name)
        is_flag = any(name in option.opts and getattr(option, "is_flag", False) for option in self.params)
        length = 1 if is_flag or "=" in words[place] else 2
        option, rest = words[place : place + length], words[place + length :]
        moved = [*words[:command], *option, *words[command:place], *rest]
        return f"{name} stands before the command: {command_name()} {shlex.join(moved)}"

    def _end(self, ctx: click.Context, fault: BundleError) -> None:
        """Print an expected failure and end with its exit status."""
        secrets = secrets_of(ctx)
        details = [redact(detail, secrets) for detail in fault.details]
        _keep_error(ctx, fault.finding, details)
        click.echo(f"Error: {redact(str(fault), secrets)}", err=True)
        most = SHOWN_ALIKE if isinstance(fault, DataError) else SHOWN_DETAILS
        for detail in details[:most]:
            click.echo(f"       {detail}", err=True)
        if len(details) > most:
            click.echo(f"       ... and {len(details) - most:,} more", err=True)
        ctx.exit(fault.exit_code)


def print_document(ctx: click.Context, stream: TextIO) -> None:
    """Print a command's one JSON document: its result, or its error and what was found before it."""
    import json

    result, failure = ctx.meta.get(RESULT, {}), ctx.meta.get(_ERROR)
    document = failure | ({"result": result} if result else {}) if failure else result
    # ASCII alone, with escapes: names of files need not be valid text, and a terminal may have any encoding.
    print(json.dumps(plain(document), indent=2, allow_nan=False), file=stream, flush=True)


def _json_stream(ctx: click.Context) -> TextIO | None:
    """Where the JSON document goes; None if none was asked for."""
    if found := ctx.meta.get(JSON_STREAM):
        return found  # type: ignore[no-any-return]
    # A line that cannot be parsed has no options yet.
    own = itertools.takewhile(lambda word: word != "--", ctx.meta.get(_ARGUMENTS, ()))
    return sys.stdout if _ERROR in ctx.meta and "--json" in own else None


def _keep_error(ctx: click.Context, finding: Finding, details: Sequence[str] = ()) -> None:
    """Keep a failure for the JSON document."""
    secrets = secrets_of(ctx)
    error = {
        key: redact(value, secrets) if isinstance(value, str) else value
        for key, value in finding.to_json().items()
    }
    ctx.meta[_ERROR] = {"error": error, "details": list(details)}


def _usage_finding(fault: click.ClickException) -> Finding:
    hint = ""
    if isinstance(fault, click.UsageError) and fault.ctx:
        hint = f"see `{fault.ctx.command_path} --help`"
    return Finding("usage", ERROR, "", fault.format_message(), hint)


def _redacted(fault: click.ClickException, ctx: click.Context) -> click.ClickException:
    """A usage error without the passwords in its arguments."""
    message = redact(fault.format_message(), secrets_of(ctx))
    if isinstance(fault, click.UsageError):
        return click.UsageError(message, fault.ctx)
    return click.ClickException(message)


def _commands_in(command: click.Command) -> Iterator[click.Command]:
    if isinstance(command, click.Group):
        for below in command.commands.values():
            yield from _commands_in(below)
    else:
        yield command
