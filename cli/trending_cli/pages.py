"""Pages for people: each one HTML file that needs nothing else. Pure.

Styles and plots are in it, there is no script, Jinja2 escapes every value, and a page's policy lets
a browser load nothing. What all pages look like is in `templates/page.html`.
"""

from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template


def template(name: str, **filters: Callable[..., Any]) -> Template:
    """A template of `templates/`, with filters of its own besides `number`."""
    environment = Environment(
        loader=PackageLoader("trending_cli"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(number=lambda value: f"{value:,}", **filters)
    return environment.get_template(name)
