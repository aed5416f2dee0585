"""The checks' names, apart from the checks, so that the command line need not import these to know them."""

CHECKS = {
    "unreadable": "unreadable files",
    "copies": "duplicates",
    "conflicts": "label conflicts",
    "groups": "patients",
    "telling": "label leakage",
    "metadata": "texts in the files",
    "near-copies": "near-duplicates",
    "blank": "blank images",
    "sizes": "sizes",
    "modes": "modes",
    "balance": "classes",
    "shift": "shift",
    "baselines": "trivial methods",
    "contours": "contours",
}
"""What each looks for, in their order; an AuditFinding has the name of its check."""
