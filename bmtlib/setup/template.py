"""Configuration files from bmtlib/templates: strict, so that a forgotten value is an error and not an empty word."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent.parent / "templates"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,  # these are not HTML
)


def render(name: str, **values: object) -> str:
    """The template bmtlib/templates/`name` filled with `values`."""
    return _ENVIRONMENT.get_template(name).render(**values)
