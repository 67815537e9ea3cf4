"""The console's templates: those of the package, with the words and codes that every site of ours has."""

from __future__ import annotations

from typing import Any

from skerry_web import words


def render(name: str, values: dict[str, Any]) -> str:
    return _environment.get_template(name).render(values)


_environment = words.environment("skerry_gateway.web")
_environment.filters["key_class"] = lambda state: "online" if state == "valid" else "offline"
