"""Texts that stand in the files besides the pixels: names of patients are handed out with them."""

from collections import Counter

from challenge_bundle.audit.base import AuditFinding, Figures, ImageTable, counted


def find_metadata(images: ImageTable) -> list[AuditFinding]:
    """Find images whose files hold texts; fields are named, never what they hold."""
    rows = [row for row, fields in enumerate(images.texts) if fields]
    if not rows:
        return []
    counts = Counter(field for row in rows for field in images.texts[row].split("\n")).most_common()
    what = counted(len(rows), "file holds", "files hold")
    told = f"{what} texts besides the pixels, which may name a patient: in {counts[0][0]}"
    told += f" and {counted(len(counts) - 1, 'more field', 'more fields')}" if len(counts) > 1 else ""
    mend = "look what they say, and import the images again with `data import --strip-metadata`"
    figures = Figures(("field", "images"), tuple(counts))
    examples = tuple((row,) for row in rows)
    return [AuditFinding("metadata", "warning", told, mend, len(rows), examples, figures=figures)]
