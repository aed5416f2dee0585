"""Makes Dockerfiles at random, and tells what an engine makes of one."""

import hashlib
import io
import json
import os
import random
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from challenge_bundle.engines.base import BuildSpec
from challenge_bundle.engines.build_context import submission_files
from challenge_bundle.engines.docker.engine import DockerEngine
from challenge_bundle.engines.docker.images import prepare_build, start_build

TINY = "challenge-fuzz:base"
OTHER = "challenge-fuzz:other"
FILES = {
    "infer.py": "print('hello')\n",
    "a b.txt": "with a blank\n",
    "README.md": "text\n",
    "data/one.csv": "1\n",
    "data/two.csv": "2\n",
    "data/deep/three.csv": "3\n",
    "weights/model.onnx": "\x08\x08",
    "x1.txt": "x1\n",
    "x2.txt": "x2\n",
    "dätei.txt": "umlaut\n",
}
IGNORES = (
    "",
    "data\n",
    "*\n!infer.py\n!data\n",
    "**/*.csv\n!data/one.csv\n",
    "\ufeff# comment\n/weights\r\n\n  x?.txt  \n",
    "data/*\n!data/deep\n",
    "**/deep\n*.md\n",
    ".dockerignore\nDockerfile\n",
    "[xw]*\n",
    "da*/d*p\n!data/deep/three.csv\n",
)
"""Without `!**/x` below a folder that is left out: the older builder's command does not look into such
folders; BuildKit does, and so does this tool."""


Pick = Callable[[random.Random], str]


@dataclass(frozen=True)
class Case:
    """One submission.

    Args:
        dockerfile: Its text.
        ignore: Of its .dockerignore; empty if there is none.
    """

    dockerfile: str
    ignore: str

    def write(self, folder: Path) -> None:
        """Write its files."""
        for name, text in FILES.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        # As it is: no line end is changed.
        (folder / "Dockerfile").write_bytes(self.dockerfile.encode("utf-8", "surrogatepass"))
        if self.ignore:
            (folder / ".dockerignore").write_bytes(self.ignore.encode())


def _word(rng: random.Random) -> str:
    return rng.choice(["a", "b-1", "some", "x=y", "é", "/opt/x", "1.5", "a.b", "50%", "[x]"])


def _variable(rng: random.Random) -> str:
    name = rng.choice(["A", "B", "C", "PATH", "INHERITED", "UNSET"])
    forms = ["${}", "${{{}}}", "${{{}:-d}}", "${{{}:+s}}", "${{{}:-${{A:+n}}}}"]
    return rng.choice(forms).format(name)


def _value(rng: random.Random) -> str:
    parts = [rng.choice([_word, _variable])(rng) for _ in range(rng.randint(1, 2))]
    text = rng.choice(["", "-", "_"]).join(parts)
    quotes = [
        "{}",
        '"{}"',
        "'{}'",
        '"{} more"',
        "'{} more'",
        "{}\\ more",
        '"{}\\"q"',
        "pre'{}'post",
        '"\\$x{}"',
    ]
    return rng.choice(quotes).format(text)


def _pairs(rng: random.Random) -> str:
    if rng.random() < 0.25:
        return f"{rng.choice('ABC')}  {_value(rng)} {_word(rng)}"
    return " ".join(f"{rng.choice('ABC')}={_value(rng)}" for _ in range(rng.randint(1, 3)))


def _source(rng: random.Random) -> str:
    plain = [
        "infer.py",
        "/infer.py",
        "./data",
        "data/",
        "x*.txt",
        "x[12].txt",
        "d*",
        ".",
        "data/*/",
        "missing",
    ]
    return rng.choice(
        [*plain, *plain, '"infer.py"', "${A:+infer.py}", "$B", "x?.tx[t]", "weights", "nothin[g]"]
    )


def _copy(rng: random.Random) -> str:
    name = rng.choice(["COPY", "COPY", "ADD"])
    flag = rng.choice(["", "", "", "--chown=1:2 ", "--chown=$A "])
    sources = [_source(rng) for _ in range(rng.randint(1, 2))]
    target = rng.choice(["/opt/", "/opt/", "here/", "$A/", "./", "/o"])
    if rng.random() < 0.3:
        return f"{name} {flag}{json.dumps([*sources, rng.choice([target, '/a b/'])])}"
    return f"{name} {flag}{' '.join([*sources, target])}"


def _shell(rng: random.Random) -> str:
    lines = [
        'echo "$A-$B-$C" > /made',
        "echo 'one' \\\n   two >> /log",
        "[ -z x ] || echo yes > /yes",
        '[ "$A" = a ] && echo a > /a ; true',
        "echo $((1<<2)) > /four",
        "cd /tmp || echo none; pwd > /where",
        "echo a \\\n# a comment\n\n  b > /joined",
        "printf '%s' \"$PATH\" > /path; exit 0",
        "false",
        'echo "tab\there" > /tab',
        "echo \\$A \\\\ > /escaped",
        "echo é > /umlaut",
    ]
    return rng.choice(lines)


def _command(rng: random.Random) -> str:
    name = rng.choice(["RUN", "RUN", "CMD", "ENTRYPOINT"])
    if rng.random() < 0.35:
        words = ["/bin/sh", "-c", rng.choice(["echo j > /json", 'echo "$A" > /json', "echo é\tx > /json"])]
        return f"{name} {json.dumps(words, ensure_ascii=rng.random() < 0.5)}"
    return f"{name} {_shell(rng)}"


def _other(rng: random.Random) -> str:
    lines = [
        f"USER {rng.choice(['1000', '0', '$A', '1:2', '${A:-7}'])}",
        f"WORKDIR {rng.choice(['/w', 'rel', '$A', '/a/${B:-b}', '/a b', '.'])}",
        f"EXPOSE {rng.choice(['80', '80/udp 443', '${UNSET:-81}', '90-92'])}",
        f"STOPSIGNAL {rng.choice(['SIGINT', '9', '$UNSET', 'SIG${UNSET:-TERM}'])}",
        "MAINTAINER somebody <a@b>",
        f"LABEL {_pairs(rng)}",
        'LABEL "k 1"="v" k2=v\\ w',
        'SHELL ["/bin/sh", "-ec"]',
        'SHELL ["/bin/sh","-c"]',
        f"HEALTHCHECK {rng.choice(['NONE', '--interval=5s CMD true', 'none'])}",
        'HEALTHCHECK CMD ["true"]',
        "CMD []",
    ]
    return rng.choice(lines)


def _steps(rng: random.Random, kind: str) -> Iterator[str]:
    makers: list[Pick] = [
        lambda r: f"ENV {_pairs(r)}",
        lambda r: f"ARG {r.choice('ABCD')}{r.choice(['', '=' + _value(r)])}",
        _command,
        _other,
        *([_copy] * (6 if kind.endswith("copies") else 1)),
    ]
    for _ in range(rng.randint(1, 4)):
        yield rng.choice(makers)(rng)


def _base(rng: random.Random) -> str:
    names = [TINY] * 6 + [
        "$BASE",
        "${BASE}",
        f"${{UNSET:-{TINY}}}",
        f"docker.io/library/{TINY}",
        OTHER,
        "scratch",
    ]
    return rng.choice(names)


def _grammatical(rng: random.Random, kind: str) -> list[str]:
    lines = [f"ARG BASE={TINY}"]
    lines += ["ARG A=g", "ARG B=$A-b"] if rng.random() < 0.3 else []
    names = [f"{TINY}"]
    if kind == "stages":
        lines += [f"FROM {TINY} AS First", "RUN echo made > /made", *_steps(rng, kind)]
        names = ["first", "FIRST", "$BASE"]
    lines.append(f"FROM {rng.choice([*names, _base(rng)])}")
    lines += ["ARG A", "ENV B=infer.py"] if rng.random() < 0.5 else []
    if kind == "stages":
        lines.append(
            f"COPY --from={rng.choice(['0', 'first', 'FIRST', '00'])} /made{rng.choice([' ', ' /e'])} /opt/"
        )
    lines += _steps(rng, kind)
    if rng.random() < 0.8:
        lines.append('ENTRYPOINT ["/bin/sh"]')
    return lines


def _decorated(lines: list[str], rng: random.Random) -> str:
    """The same in another way of writing: tabs, comments, continued lines, capitals."""
    written: list[str] = []
    for line in lines:
        name, _, rest = line.partition(" ")
        name = rng.choice([name, name, name.lower(), name.capitalize()])
        blank = rng.choice([" ", " ", " ", "\t", "   ", " \t", " \\\n  ", "\\\n ", " \\  \n# c\n\n\t"])
        line = f"{rng.choice(['', '', '  ', chr(9)])}{name}{blank}{rest}{rng.choice(['', '', ' ', chr(9)])}"
        if rng.random() < 0.1 and " " in rest:
            at = line.rindex(" ")
            line = f"{line[:at]} \\\n   # inside\n\\\n{line[at:]}"
        written += [line, *rng.choice([[], [], ["# comment"], [""], ["   # and\u00a0one \\"]])]
    text = "\n".join(written) + rng.choice(["\n", "", "\n\n"])
    if rng.random() < 0.15:
        text = text.replace("\n", "\r\n")
    start = rng.choice(
        [""] * 6 + ["\ufeff", "# syntax=docker/dockerfile:1\n", "# escape=\\\n", "\ufeff# one\n"]
    )
    return start + text


_ODD = [
    "\t",
    " ",
    "\\",
    "\\\n",
    '"',
    "'",
    "$",
    "${",
    "}",
    "[",
    "]",
    "#",
    "=",
    "--",
    "<<EOF",
    "\u00a0",
    "\u2028",
]
_ODD += [
    "\u0085",
    "\x0b",
    "\x0c",
    "\r",
    "\0",
    "\u200b",
    "\ufeff",
    "\u017f",
    "\u0130",
    "\u212a",
    "\n",
    ",",
    "`",
    ":",
]


def _mutated(text: str, rng: random.Random) -> str:
    for _ in range(rng.randint(1, 3)):
        at = rng.randint(0, len(text))
        kind = rng.random()
        if kind < 0.4:
            text = text[:at] + rng.choice(_ODD) + text[at:]
        elif kind < 0.6:
            text = text[:at] + text[at + rng.randint(1, 3) :]
        elif kind < 0.8:
            lines = text.split("\n")
            line = rng.randrange(len(lines))
            lines.insert(rng.randrange(len(lines) + 1), lines.pop(line))
            text = "\n".join(lines)
        else:
            text = text[:at] + text[at:].replace(" ", rng.choice(_ODD), 1)
    return text


KINDS = ("plain", "steps", "stages", "copies", "odd", "odd-copies")
"""What a case has most of; the odd ones have a character or two that do not belong there."""


def make_case(rng: random.Random, kind: str) -> Case:
    """A submission of a kind."""
    lines = _grammatical(rng, kind)
    text = _decorated(lines, rng) if kind != "plain" else "\n".join(lines)
    if kind.startswith("odd"):
        text = _mutated(text, rng)
    return Case(text, rng.choice(IGNORES) if kind.endswith("copies") else "")


def make_bases(runner: DockerEngine, image: str) -> None:
    """Make two base images of a few files, with a shell and nothing else, from an image that has one."""
    container = runner.client.containers.create(image, ["true"])
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path in _shell_files(container):
            for member, content in _read(container, path):
                member.name = path.lstrip("/")
                archive.addfile(member, io.BytesIO(content))
        for folder in ("tmp", "etc"):
            member = tarfile.TarInfo(folder)
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(member)
    container.remove()
    repository, _, tag = TINY.partition(":")
    runner.client.api.import_image_from_data(out.getvalue(), repository=repository, tag=tag)
    text = f'FROM {TINY}\nENV INHERITED=i C="from base"\nSHELL ["/bin/sh", "-uc"]\nUSER 5\nCMD ["c"]\n'
    runner.client.images.build(fileobj=io.BytesIO(text.encode()), tag=OTHER, rm=True)


def _shell_files(container: Any) -> Iterator[str]:
    yield "/bin/sh"
    yield from ("/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2")


def _read(container: Any, path: str) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """A file of a container, through links."""
    for _ in range(8):
        stream, found = container.get_archive(path)
        if found["linkTarget"] and found["linkTarget"] != path:
            path = found["linkTarget"]
            continue
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
            member = next(iter(archive))
            opened = archive.extractfile(member)
            assert opened is not None, path
            yield member, opened.read()
        return
    raise AssertionError(path)


def build_original(folder: Path, tag: str) -> str:
    """Build a folder as the engine's own command does; gives its complaint, empty if there is none."""
    done = subprocess.run(
        ["docker", "build", "--force-rm", "--network", "none", "-q", "-t", tag, str(folder)],
        env={**os.environ, "DOCKER_BUILDKIT": "0"},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    return "" if done.returncode == 0 else done.stderr.strip()[-500:] or "no word"


def build_written(runner: DockerEngine, plan: BuildSpec, tag: str) -> str:
    """Build what is written again of a submission; gives the engine's complaint, empty if there is none."""
    stream = start_build(runner.client, prepare_build(plan, None), tag, network_mode="none")
    errors = [str(message["error"]) for message in stream if "error" in message]
    return errors[0] if errors else ""


def plan_of(runner: DockerEngine, folder: Path) -> BuildSpec:
    """The plan of a submission that may build on the two base images."""
    files, hides_dockerfile = submission_files(folder)
    bases = {}
    for name in (TINY, OTHER):
        found = runner.inspect(f"docker.io/library/{name}")
        assert found is not None
        assert f"docker.io/library/{name}" in found.names
        bases[f"docker.io/library/{name}"] = found.config
    return BuildSpec("challenge-fuzz", "fuzz", files, hides_dockerfile=hides_dockerfile, bases=bases)


def describe(runner: DockerEngine, tag: str) -> dict[str, Any]:
    """What an image is: its configuration, and each of its files."""
    image = runner.client.images.get(tag)
    config = {
        name: image.attrs["Config"].get(name)
        for name in ("Cmd", "Entrypoint", "Env", "User", "WorkingDir", "Labels", "ExposedPorts", "Shell")
    }
    config |= {name: image.attrs["Config"].get(name) for name in ("StopSignal", "Healthcheck", "OnBuild")}
    container = runner.client.containers.create(tag, ["true"], entrypoint=["true"])
    try:
        content = io.BytesIO(b"".join(container.export()))
    finally:
        container.remove()
    files = {}
    with tarfile.open(fileobj=content) as archive:
        for member in archive:
            opened = archive.extractfile(member) if member.isreg() else None
            digest = hashlib.sha256(opened.read()).hexdigest() if opened else ""
            files[member.name] = (member.type, member.mode & 0o7777, member.uid, member.gid, digest)
    return {"config": config, "files": {n: f for n, f in files.items() if not _is_never_sent(n, files)}}


def _is_never_sent(name: str, files: Mapping[str, Any]) -> bool:
    """Tell whether this tool never sends a file: a .dockerignore, and folders of a zip that hold no file."""
    base = name.rpartition("/")[2]
    is_folder = base in ("data", "deep", "weights") and files[name][0] == tarfile.DIRTYPE
    return base == ".dockerignore" or (is_folder and not any(n.startswith(f"{name}/") for n in files))
