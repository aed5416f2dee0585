"""Every message of the source, read from its syntax: each Finding and each error with a literal code."""

import ast
import html
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "tools" / "challenge_bundle"
SEVERITIES = {"ERROR": "error", "WARNING": "warning", "NOTE": "note"}

HEAD = """\
# Messages

Every finding and error has a code, which stays when its wording changes; `--json` prints it. A finding has a
severity: an error is refused, a warning is accepted, a note is good to know. A command that fails ends with
the exit status of its error. Names in braces stand for what was found.

"""

PREDICTIONS_HEAD = """\
## Predictions

What the scoring program reports of predictions. Who checks a file of one's own gets a message that names what
was found. An evaluation on hidden images shows the participant code, row and these texts, and nothing else.

"""


@dataclass(frozen=True, slots=True, order=True)
class Message:
    """A message of the source.

    Args:
        code: What kind of thing it is; empty for an error without a code of its own.
        message: What was found, with {names} for values.
        hint: What to do.
        kind: A severity, or the exit status of an error.
        module: Below tools/challenge_bundle/.
        line: Of the module.
    """

    code: str
    message: str
    hint: str
    kind: str
    module: str
    line: int

    @property
    def room(self) -> str:
        """The folder of the package that it is in, or the module."""
        return self.module.partition("/")[0]


def read_messages() -> list[Message]:
    """All messages of the package, by code."""
    trees = {
        path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    }
    statuses = _exit_statuses(trees.values())
    return sorted(found for module, tree in trees.items() for found in _messages_of(module, tree, statuses))


def messages_page() -> str:
    """The list of all messages as a page."""
    mark = "<!-- made by docs/generate.py from the source: change the messages there -->\n\n"
    rows: dict[tuple[str, ...], set[str]] = {}
    for one in read_messages():
        if one.code:
            rows.setdefault((one.code, one.kind, one.message, one.hint), set()).add(one.module)
    table = "".join(
        f"| `{code}` | {kind} | {_cell(message)} | {_cell(hint)} | {', '.join(sorted(modules))} |\n"
        for (code, kind, message, hint), modules in rows.items()
    )
    head = "| code | kind | message | what to do | source |\n|---|---|---|---|---|\n"
    return f"{mark}{HEAD}{head}{table}\n{PREDICTIONS_HEAD}{predictions_table()}"


def predictions_table() -> str:
    """The closed list of what can be wrong with predictions, which the scoring program keeps."""
    listed = json.loads((PROJECT / "scoring_program" / "findings.json").read_text(encoding="utf-8"))
    return "| code | message | what to do |\n|---|---|---|\n" + "".join(
        f"| `{code}` | {_cell(texts['message'])} | {_cell(texts['hint'])} |\n"
        for code, texts in sorted(listed.items())
    )


def _cell(text: str) -> str:
    """A text that Markdown shows as it is, on one line."""
    parts = " ".join(text.split()).replace("|", "\\|").split("`")
    # What stands between backticks is code, in which nothing is escaped.
    parts[::2] = [
        re.sub(r"([\\`*_\[\]])", r"\\\1", html.escape(part.replace("\\|", "|"), quote=False)).replace(
            "|", "\\|"
        )
        for part in parts[::2]
    ]
    return "`".join(parts)


def _exit_statuses(trees: Iterable[ast.Module]) -> dict[str, str]:
    """The exit status of each error class, by its name."""
    classes = {node.name: node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    statuses: dict[str, str] = {}
    for name in classes:
        known, place = "", name
        while place in classes and not known:
            known = _own_status(classes[place])
            bases = [base.id for base in classes[place].bases if isinstance(base, ast.Name)]
            if place == "BundleError" or not bases:
                break
            place = bases[0]
        if (place == "BundleError" or known) and not _takes_finding(classes[name]):
            statuses[name] = known or "1"
    return statuses


def _takes_finding(node: ast.ClassDef) -> bool:
    """Whether an error is made from a finding, which stands elsewhere in the source."""
    made = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
    return any(ast.unparse(one.args.args[1]).endswith(": Finding") for one in made)


def _own_status(node: ast.ClassDef) -> str:
    for statement in node.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "exit_code":
            return ast.unparse(statement.value)
    return ""


def _messages_of(module: str, tree: ast.Module, statuses: dict[str, str]) -> Iterator[Message]:
    constants = _assignments([one for one in tree.body if isinstance(one, ast.Assign)])
    for scope, call in _calls(tree, None):
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        before = dict(constants)
        if scope is not None:
            before |= _assignments(scope.body, call.lineno)
        if name == "Finding":
            names = ("code", "severity", "location", "message", "hint", "row")
            given |= dict(zip(names, call.args, strict=False))
            if not isinstance(given.get("code"), ast.Constant):
                continue
            kind = _severity(given["severity"])
            message = given["message"]
        elif name in statuses or "code" in given:
            if not call.args or not isinstance(given.get("code", ast.Constant("")), ast.Constant):
                continue
            kind = f"exit status {statuses.get(name, '1')}"
            message = call.args[0]
        else:
            continue
        code = given.get("code", ast.Constant(""))
        assert isinstance(code, ast.Constant)
        hint = _text(given["hint"], before) if "hint" in given else ""
        yield Message(str(code.value), _text(message, before), hint, kind, module, call.lineno)


def _calls(node: ast.AST, scope: ast.FunctionDef | None) -> Iterator[tuple[ast.FunctionDef | None, ast.Call]]:
    """Every call, with the function around it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call):
            yield scope, child
        yield from _calls(child, child if isinstance(child, ast.FunctionDef) else scope)


def _assignments(body: list[ast.stmt], until: int = 1 << 30) -> dict[str, ast.expr]:
    """The last value of each name that is assigned before a line."""
    found: dict[str, ast.expr] = {}
    nodes = [node for statement in body for node in ast.walk(statement) if isinstance(node, ast.Assign)]
    for node in sorted(nodes, key=lambda node: node.lineno):
        if node.lineno < until and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node.value
        elif (
            node.lineno < until
            and isinstance(node.targets[0], ast.Tuple)
            and isinstance(node.value, ast.Tuple)
        ):
            for target, value in zip(node.targets[0].elts, node.value.elts, strict=False):
                if isinstance(target, ast.Name):
                    found[target.id] = value
    return found


def _severity(node: ast.expr) -> str:
    if isinstance(node, ast.IfExp):
        return f"{_severity(node.body)} or {_severity(node.orelse)}"
    if isinstance(node, ast.Constant):
        return str(node.value)
    return SEVERITIES.get(node.id, "error or warning") if isinstance(node, ast.Name) else "error or warning"


def _text(node: ast.expr, known: dict[str, ast.expr], depth: int = 4) -> str:
    """A text as far as it is known, with {names} for the rest."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(value, known, depth) for value in node.values)
    if isinstance(node, ast.FormattedValue):
        name = node.value.id if isinstance(node.value, ast.Name) else ""
        value = known.get(name)
        if isinstance(value, ast.Constant | ast.JoinedStr) and depth:
            return _text(value, _without(known, name), depth - 1)
        return f"{{{_name(node.value)}}}"
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left, known, depth) + _text(node.right, known, depth)
    if isinstance(node, ast.IfExp):
        either = [_text(one, known, depth) for one in (node.body, node.orelse)]
        return " / ".join(text for text in either if text)
    if isinstance(node, ast.Name) and node.id in known and depth:
        return _text(known[node.id], _without(known, node.id), depth - 1)
    return f"{{{_name(node)}}}"


def _without(known: dict[str, ast.expr], name: str) -> dict[str, ast.expr]:
    """The other names: what is written again as `what = f"{what}: ..."` holds itself."""
    return {other: value for other, value in known.items() if other != name}


def _name(node: ast.expr) -> str:
    """A short name of a value: of `shown(member.filename)` the last word."""
    while True:
        if isinstance(node, ast.Call) and node.args:
            node = node.args[-1]
        elif isinstance(node, ast.Attribute):
            return node.attr
        elif isinstance(node, ast.Subscript):
            node = node.value
        elif isinstance(node, ast.Call | ast.BinOp | ast.BoolOp | ast.IfExp | ast.Compare):
            names = [one.id for one in ast.walk(node) if isinstance(one, ast.Name)]
            return (names[0] if names else "value").lower()
        elif isinstance(node, ast.Name):
            return node.id.lower()
        else:
            return "value"
