"""The launcher: `python tools/bundle.py COMMAND`, from any folder, in any environment."""

import os
import sys
from pathlib import Path

# Python has put this file's folder, which holds the package, first on sys.path.
ROOT = Path(__file__).resolve().parents[1]
INSTALLED = ROOT / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

if __name__ == "__main__":
    if sys.prefix == sys.base_prefix and INSTALLED.exists():
        # Started by a Python without the tool's packages, while `make install` made one that has them.
        os.execv(INSTALLED, [str(INSTALLED), *sys.argv])
    try:
        import click  # noqa: F401 - the one package that every command needs
    except ModuleNotFoundError:
        sys.exit("Error: click is not installed here; run `make install` (or `python install.py`) first")

    from challenge_bundle.cli import main

    main()
