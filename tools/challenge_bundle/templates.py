"""Pages from Jinja templates: every text in them is escaped."""

from collections.abc import Callable, Mapping
from pathlib import Path


def render(template: Path, filters: Mapping[str, Callable[..., str]] | None = None, **values: object) -> str:
    """Fill in a template; whatever is not markup of our own is escaped, and a missing value is an error.

    Args:
        template: A `.j2` file; it can include others of its folder.
        filters: More of Jinja's filters, by name.
        values: What the template names.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= dict(filters or {})
    return environment.get_template(template.name).render(values)
