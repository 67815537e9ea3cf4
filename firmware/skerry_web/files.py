"""The static files of the package, read once: `SHARED` is what both sites have, `load` adds a site's own."""

from __future__ import annotations

import importlib.resources

TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


def load(package: str, *names: str) -> dict[str, tuple[bytes, str]]:
    """name: (content, media type) of files in `static` of a package."""
    folder = importlib.resources.files(package) / "static"
    return {name: ((folder / name).read_bytes(), TYPES[name.rpartition(".")[2]]) for name in names}


SHARED = load("skerry_web", "style.css", "icon.svg")
