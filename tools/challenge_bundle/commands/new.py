"""`new`: begin a bundle of one's own."""

import shlex
from pathlib import Path

import click

from challenge_bundle.commands.shared import LocalPath, relative


@click.command()
@click.argument("folder", type=LocalPath(file_okay=False, path_type=Path))
@click.option("--name", default="", help="Small letters, digits, dashes; by default from FOLDER.")
@click.option("--title", default="", help="As people read it; by default the name.")
@click.option("--without-programs", is_flag=True, help="Use the tool's own programs, not copies of them.")
def new(folder: Path, name: str, title: str, without_programs: bool) -> None:
    """Fill the empty FOLDER with a bundle that runs: bundle.toml, the three programs to change, a README."""
    from challenge_bundle.new_bundle import make_bundle

    bundle = make_bundle(folder, name, title, not without_programs)
    click.echo(f"bundle '{bundle.name}': {relative(folder.resolve())}")
    where = "" if folder.resolve() == Path.cwd() else f" --bundle {shlex.quote(str(folder))}"
    click.echo(f"next: `bundle{where} run-all` goes from images to a report; bundle.toml says which images")
