"""A page as a browser has it, for tests."""

import subprocess
from pathlib import Path


def dom(browser: str, page: Path, folder: Path, *options: str) -> str:
    """The page as the browser has it after its scripts."""
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}"]
    command += ["--virtual-time-budget=2000", *options, "--dump-dom", page.as_uri()]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


def framed(page: Path, folder: Path, sandbox: str, script: str) -> Path:
    """A page that holds another in a frame as wide as a small phone, and looks at it when it is loaded."""
    outer = folder / "outer.html"
    outer.write_text(
        f'<iframe id="f" src="{page.name}" width="320" height="900" {sandbox}></iframe>'
        f"<script>f.onload = () => {{ const d = f.contentDocument.documentElement; {script} }}</script>"
    )
    return outer
