"""One zstd frame (RFC 8878) into bounded memory, for the messages of the map. The library is loaded with the first message.

Its C part is loaded alone: the package around it loads `typing` and `platform` as well, 330 kB that nothing here needs.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WINDOW = 1 << 23  # bytes; what the format's recommendation asks every decoder to support

_library: "Any" = None


def load() -> "Any":
    """Make ready for the first message; the library."""
    global _library  # noqa: PLW0603  one for the process
    if _library is None:
        _library = sys.modules.get("zstandard") or _compiled() or _package()
    return _library


def _compiled() -> "Any":
    """The package's compiled part, or None where it was built without one."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    package = PathFinder.find_spec("zstandard")
    places = package.submodule_search_locations if package is not None else None
    found = PathFinder.find_spec("zstandard.backend_c", places) if places else None
    if found is None or found.loader is None:
        return None
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return module


def _package() -> "Any":
    import zstandard

    return zstandard


def decompress(data: bytes, limit: int) -> bytes:
    """The content of the frame. ValueError if there is more of it than `limit` bytes, or if it is no frame.

    It is read as a stream: the size a frame announces is what a hostile one lies about.
    """
    library = load()
    try:
        with library.ZstdDecompressor(max_window_size=WINDOW).stream_reader(data) as reader:
            content: bytes = reader.read(limit + 1)
            left = len(content) <= limit and reader.read(1)
    except library.ZstdError as error:
        raise ValueError(str(error)) from None
    if left or len(content) > limit:
        raise ValueError(f"more than {limit} bytes")
    return content
