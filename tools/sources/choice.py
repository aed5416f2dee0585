"""From what a person types (`synthetic`, `folder:PATH`, ...) to a source."""

from pathlib import Path

from tools.errors import DataError
from tools.sources.base import Source

SOURCE_FORMS = ("synthetic", "mednist", "folder:PATH", "dicom:PATH[?label=TAG]")


def choose_source(text: str, base: Path) -> Source:
    """Make the source that `text` names.

    Args:
        text: One of SOURCE_FORMS.
        base: What a relative PATH is relative to.

    Raises:
        DataError: It names none.
    """
    kind, _, rest = text.partition(":")
    if text == "synthetic":
        from tools.sources.synthetic import SyntheticSource

        return SyntheticSource()
    if text == "mednist":
        from tools.sources.mednist import MedNISTSource

        return MedNISTSource()
    if kind == "folder" and rest:
        from tools.sources.folder import FolderSource

        return FolderSource((base / Path(rest).expanduser()).resolve())
    if kind == "dicom" and rest:
        from tools.sources.dicom import parse_dicom_source

        return parse_dicom_source(rest, base)
    raise DataError(f"unknown source {text!r}; expected {', '.join(SOURCE_FORMS)}")
