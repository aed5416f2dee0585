"""`new`: begin a bundle of one's own."""

import shlex
from pathlib import Path

import click

from challenge_bundle.commands.shared import LocalPath, relative, show


@click.command()
@click.argument("folder", type=LocalPath(file_okay=False, path_type=Path))
@click.option(
    "--name", default="", help="Small letters, digits and dashes; by default made from FOLDER's name."
)
@click.option("--title", default="", help="Its title on pages; by default the name.")
@click.option("--without-programs", is_flag=True, help="Use the tool's own programs, not copies of them.")
def new(folder: Path, name: str, title: str, without_programs: bool) -> None:
    """Begin a bundle of your own in the empty FOLDER.

    It gets a bundle.toml, the three programs to change, and a README, and runs as it is.
    """
    from challenge_bundle.installation import command_name
    from challenge_bundle.new_bundle import make_bundle

    bundle = make_bundle(folder, name, title, not without_programs)
    where = "" if folder.resolve() == Path.cwd() else f" --bundle {shlex.quote(str(folder))}"
    show(
        {"bundle": bundle.name, "folder": folder.resolve()},
        f"made the bundle '{bundle.name}' in {relative(folder.resolve())}",
        f"next: `{command_name()}{where} run-all` goes from images to a report;"
        " data.source in bundle.toml names the source of the images",
    )
