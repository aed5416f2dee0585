"""The checks' names, apart from the checks, so that the command line need not import these to know them."""

CHECKS = {
    "unreadable": "unreadable files",
    "copies": "copies",
    "conflicts": "classes of copies",
    "groups": "patients",
    "telling": "what tells the class",
    "metadata": "texts in the files",
    "near-copies": "near copies",
    "blank": "blank images",
    "sizes": "sizes",
    "modes": "modes",
    "balance": "classes",
    "shift": "shift",
    "baselines": "trivial methods",
    "contours": "contours",
}
"""What each looks for, in their order; a finding bears the name of its check."""
