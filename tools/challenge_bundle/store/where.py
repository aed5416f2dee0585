"""Conditions on images: a small language of comparisons, turned into SQL with bound values."""

import ast
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from challenge_bundle.errors import DataError, shown
from challenge_bundle.store.tables import ANNOTATIONS, CATEGORIES, IMAGES

COLUMNS: Mapping[str, sa.ColumnElement[Any]] = {
    "sha256": IMAGES.c.sha256,
    "width": IMAGES.c.width,
    "height": IMAGES.c.height,
    "mode": IMAGES.c.mode,
    "format": IMAGES.c.format,
    "label": IMAGES.c.label,
    "group": IMAGES.c.group_name,
    "split": IMAGES.c.split,
    "origin": IMAGES.c.origin,
    "taken": IMAGES.c.taken,
    "added": IMAGES.c.added,
    "license": IMAGES.c.license_id,
    "path": IMAGES.c.path,
}
"""The columns that a condition may compare, and that a query shows."""

_MOST = 2**31 - 1
"""The largest whole number that every database stores."""

_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], sa.ColumnElement[bool]]] = {
    ast.Eq: lambda column, value: column.is_(None) if value is None else column == value,
    ast.NotEq: lambda column, value: column.is_not(None) if value is None else column != value,
    ast.Lt: lambda column, value: column < value,
    ast.LtE: lambda column, value: column <= value,
    ast.Gt: lambda column, value: column > value,
    ast.GtE: lambda column, value: column >= value,
    ast.In: lambda column, value: column.in_(value),
    ast.NotIn: lambda column, value: column.not_in(value),
}

EXAMPLE = "such as label == 'CXR' and width >= 64, or has('car') and not street"


def parse_where(text: str) -> sa.ColumnElement[bool]:
    """Parse a condition on images, written as Python writes comparisons.

    Names are those of COLUMNS; `has('car')` means an annotation of that category, `street` one of any
    category that stands or drives in a street, `'text' in origin` a part of a text.

    Args:
        text: Such as `label == 'CXR' and width >= 64`.

    Raises:
        DataError: It is not a condition.
    """
    try:
        return _condition(_parse(text).body)
    except (SyntaxError, ValueError, RecursionError) as fault:
        cause = fault.msg if isinstance(fault, SyntaxError) else fault
        raise DataError(
            f"the condition {shown(text)} cannot be read ({cause})",
            code="condition-invalid",
            hint=f"write one {EXAMPLE}",
        ) from None


def categories_in(text: str) -> list[str]:
    """The categories in the has('NAME') of a valid condition, in order."""
    return [
        node.args[0].value
        for node in ast.walk(_parse(text))
        if isinstance(node, ast.Call)
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    ]


def _parse(text: str) -> ast.Expression:
    return ast.parse(text.strip(), mode="eval")


def _condition(node: ast.expr) -> sa.ColumnElement[bool]:
    match node:
        case ast.BoolOp(op=ast.And(), values=values):
            return sa.and_(*map(_condition, values))
        case ast.BoolOp(op=ast.Or(), values=values):
            return sa.or_(*map(_condition, values))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return sa.not_(_condition(operand))
        case ast.Name(id="street"):
            return _annotated(CATEGORIES.c.is_street)
        case ast.Call(func=ast.Name(id="has"), args=[ast.Constant(value=str(name))], keywords=[]):
            return _annotated(CATEGORIES.c.name == name)
        case ast.Call(func=ast.Name(id="has"), args=[ast.Name(id=name)]):
            raise ValueError(f"put the category in quotes: has({name!r})")
        case ast.Compare(left=ast.Constant(value=str(part)), ops=[ast.In()], comparators=[ast.Name(id=name)]):
            return _column(name).contains(part, autoescape=True)
        case ast.Compare(left=ast.Name(id=name), ops=[operator], comparators=[other]):
            return _comparison(name, operator, other)
    raise ValueError(f"{ast.unparse(node)!r} is not a comparison")


def _comparison(name: str, operator: ast.cmpop, other: ast.expr) -> sa.ColumnElement[bool]:
    column = _column(name)
    if type(operator) not in _COMPARE:
        raise ValueError("use ==, !=, <, <=, >, >=, in or not in")
    value = _value(other)
    is_list = isinstance(operator, ast.In | ast.NotIn)
    values = value if is_list and isinstance(value, list | tuple | set) else [value]
    if is_list and values is not value:
        raise ValueError("'in' is followed by a list, such as ('a', 'b')")
    kind = int if isinstance(column.type, sa.Integer) else str
    if not all(isinstance(one, kind) or (one is None and not is_list) for one in values):
        what = "texts in quotes" if kind is str else "whole numbers"
        hint = ", those that `store query licenses` lists" if name == "license" else ""
        raise ValueError(f"{name} is compared with {what}{hint}")
    if any(isinstance(one, int) and abs(one) > _MOST for one in values):
        raise ValueError(f"a number is at most {_MOST:,}")
    return _COMPARE[type(operator)](column, sorted(values) if is_list else value)


def _value(node: ast.expr) -> Any:
    bare = next((one.id for one in ast.walk(node) if isinstance(one, ast.Name)), None)
    if bare is not None:
        raise ValueError(f"{bare} is not a value; put a text in quotes: {bare!r}")
    try:
        value = ast.literal_eval(node)
        # A lone half of a character, which Python can write, has no place in a file or database.
        str(value).encode()
        return value
    except UnicodeEncodeError:
        raise ValueError("it holds half of a character") from None
    except ValueError:
        raise ValueError(f"{ast.unparse(node)!r} is not a value") from None


def _column(name: str) -> sa.ColumnElement[Any]:
    if name not in COLUMNS:
        raise ValueError(f"there is no {name!r}; there are {', '.join(COLUMNS)}, street and has('NAME')")
    return COLUMNS[name]


def _annotated(what: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """An image has an annotation whose category meets `what`."""
    return (
        sa.select(ANNOTATIONS.c.id)
        .join(CATEGORIES, CATEGORIES.c.id == ANNOTATIONS.c.category_id)
        .where(ANNOTATIONS.c.image_id == IMAGES.c.id, what)
        .exists()
    )
