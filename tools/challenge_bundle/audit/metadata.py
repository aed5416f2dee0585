"""Texts in the image files besides the pixels, which may name patients."""

from collections import Counter

from challenge_bundle.audit.base import AuditFinding, Figures, ImageTable, counted
from challenge_bundle.findings import WARNING, Finding


def find_metadata(images: ImageTable) -> list[AuditFinding]:
    """Find images whose files have texts; reports the names of the fields, never their values."""
    rows = [row for row, fields in enumerate(images.texts) if fields]
    if not rows:
        return []
    counts = Counter(field for row in rows for field in images.texts[row].split("\n")).most_common()
    files = counted(len(rows), "file has", "files have")
    more = f" and {counted(len(counts) - 1, 'more field', 'more fields')}" if len(counts) > 1 else ""
    what = f"{files} texts besides the pixels, which may name a patient: in {counts[0][0]}{more}"
    hint = "read them, and import the images again with `data import --strip-metadata`"
    finding = Finding("metadata-texts", WARNING, "", what, hint)
    figures = Figures(("field", "images"), tuple(counts))
    examples = tuple((row,) for row in rows)
    return [AuditFinding("metadata", finding, len(rows), examples, figures=figures)]
