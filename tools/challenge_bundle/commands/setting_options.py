"""Options of commands, made from the declarations of settings."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from challenge_bundle.formats.setting import Setting, Shares, Size, Texts, settings_of

Command = TypeVar("Command", bound=Callable[..., Any])

_FORMS: dict[Any, dict[str, Any]] = {
    bool: {"is_flag": True},
    int: {"type": int, "metavar": "N"},
    float: {"type": float, "metavar": "X"},
    str: {"type": str, "metavar": "TEXT"},
    Size | None: {"type": int, "nargs": 2, "metavar": "WIDTH HEIGHT"},
    Shares: {"type": float, "nargs": 3, "metavar": "X Y Z"},
    Texts: {"type": str, "multiple": True, "metavar": "TEXT"},
}


def setting_option(cls: type, name: str, **changes: Any) -> Callable[[Command], Command]:
    """A decorator that adds the option of one setting; without the option, the command gets None.

    Args:
        cls: The dataclass that declares the setting.
        name: Of the setting.
        changes: Arguments of click.option that differ, such as `help`.
    """
    one = settings_of(cls)[name]
    form: dict[str, Any] = {"type": click.Choice(one.choices)} if one.choices else dict(_FORMS[one.kind])
    if one.metavar:
        form["metavar"] = one.metavar
    more = {"help": one.help, "envvar": one.env, "show_envvar": bool(one.env), "default": None}
    return click.option(f"--{name.replace('_', '-')}", callback=_checked(one), **form | more | changes)


def setting_options(cls: type, *left_out: str) -> Callable[[Command], Command]:
    """A decorator that adds an option for each setting of a dataclass, but those left out."""

    def add(command: Command) -> Command:
        for name in reversed(list(settings_of(cls))):
            if name not in left_out:
                command = setting_option(cls, name)(command)
        return command

    return add


def _checked(one: Setting) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A callback that holds an option to the rules of bundle.toml; the default may always be named."""

    def check(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        if one.kind == Texts and not value:
            # An option that may be repeated gives an empty list where it is not there.
            return None
        if value is None or value == one.default:
            return value
        try:
            return one.accept(list(value) if isinstance(value, tuple) else value)
        except (TypeError, ValueError) as fault:
            raise click.BadParameter(str(fault), ctx, param) from None

    return check
