"""How an import is put in place: by renames, once all of it is staged; an interrupted one is finished."""

import errno
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from challenge_bundle.files import replacing, synchronise, write_text
from challenge_bundle.layout import SPLITS, Layout
from challenge_bundle.runs.stage_record import forget_results

READY = "READY"
"""The name of the file, in the secret staging folder, that marks an import as staged completely."""
PUT_AWAY = "put-away.json"
"""The name of the file there that lists what is moved out of the way first, and where to."""


def staging_dir(layout: Layout) -> Path:
    """In input_data/, so that images are moved by renames; holds nothing that is secret."""
    return layout.input_data / ".incoming"


def secret_staging_dir(layout: Layout) -> Path:
    """For the classes of the testing images: input_data/ is handed out and mounted."""
    return layout.state / "incoming"


@contextmanager
def staging_folders(layout: Layout) -> Iterator[tuple[Path, Path]]:
    """Yield empty staging folders, the public and the secret one; at the block's end what is there is ready.

    If the block fails they are removed. `recover_import` publishes what is ready.
    """
    staging, secret = staging_dir(layout), secret_staging_dir(layout)
    staging.mkdir(parents=True)
    secret.mkdir(parents=True, mode=0o700)
    try:
        yield staging, secret
        (secret / READY).touch()
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        shutil.rmtree(secret, ignore_errors=True)
        raise


def put_away(layout: Layout, sources: Sequence[Path], shelf: Path) -> Path:
    """Plan to move files and folders to a new folder of a shelf when what is staged is published.

    Args:
        layout: Of the bundle.
        sources: What is moved; what is not there is passed over.
        shelf: Holds the folders, which have numbers.

    Returns:
        The folder.
    """
    taken = [int(entry.name) for entry in shelf.iterdir() if entry.name.isdigit()] if shelf.is_dir() else []
    folder = shelf / str(max(taken, default=0) + 1)
    moves = [
        [str(path.relative_to(layout.root)), str((folder / path.name).relative_to(layout.root))]
        for path in sources
    ]
    write_text(secret_staging_dir(layout) / PUT_AWAY, json.dumps(moves), private=True)
    return folder


def recover_import(layout: Layout) -> None:
    """Finish an import that was interrupted while it was published; drop one that was interrupted before."""
    staging, secret = staging_dir(layout), secret_staging_dir(layout)
    if (secret / READY).exists():
        _put_away(layout)
        # Images of an import are others; of corrected labels, the predictions stay what they are.
        forget_results(layout, predictions=(secret / layout.import_json.name).exists())
        for incoming, target in _moves(layout):
            if not incoming.exists():
                continue
            if target.is_dir():
                outgoing = staging / "outgoing" / target.name
                shutil.rmtree(outgoing, ignore_errors=True)
                outgoing.parent.mkdir(exist_ok=True)
                target.replace(outgoing)
            _move(incoming, target)
        # Before the sign that there is something to finish.
        if layout.downloads.is_dir():
            shutil.rmtree(layout.downloads)
        # Removed first: a removal that is interrupted must not be taken for an import to publish.
        (secret / READY).unlink()
    for folder in (staging, secret):
        if folder.is_dir():
            shutil.rmtree(folder)


def _put_away(layout: Layout) -> None:
    """Move what is to be kept out of the way; what was moved before an interruption is there already."""
    plan = secret_staging_dir(layout) / PUT_AWAY
    if not plan.exists():
        return
    for source_name, target_name in json.loads(plan.read_text(encoding="utf-8")):
        source, target = layout.root / source_name, layout.root / target_name
        if not source.exists() or target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.parent.chmod(0o700)
        if source.is_dir():
            source.replace(target)
        else:
            _move(source, target)
        synchronise(target.parent)


def _moves(layout: Layout) -> list[tuple[Path, Path]]:
    """Where each staged file or folder goes; the record last, as the sign that all is in place."""
    staging, secret = staging_dir(layout), secret_staging_dir(layout)
    targets = [layout.split_dir(split) for split in SPLITS]
    targets += [layout.solution_csv("training"), layout.solution_csv("validation"), layout.task_json]
    hidden = [layout.solution_csv("testing"), layout.reference_task_json, layout.origins_csv]
    hidden.append(layout.import_json)
    return [(staging / path.name, path) for path in targets] + [(secret / path.name, path) for path in hidden]


def _move(source: Path, target: Path) -> None:
    """Rename, or, where the folders lie on different file systems, copy and then rename."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.replace(target)
    except OSError as fault:
        if fault.errno != errno.EXDEV:
            raise
        with replacing(target) as temporary:
            # With its mode: what is private stays so.
            shutil.copy(source, temporary)
        source.unlink()
