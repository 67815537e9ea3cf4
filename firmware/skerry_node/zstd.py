"""One zstd frame (RFC 8878) into bounded memory, for the messages of the map. The library is loaded with the first message."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WINDOW = 1 << 23  # bytes; what the format's recommendation asks every decoder to support

_context: "Any" = None


def load() -> None:
    """Make ready for the first message."""
    global _context  # noqa: PLW0603  one context for the process
    import zstandard

    _context = _context or zstandard.ZstdDecompressor(max_window_size=WINDOW)


def decompress(data: bytes, limit: int) -> bytes:
    """The content of the frame. ValueError if there is more of it than `limit` bytes, or if it is no frame.

    It is read as a stream: the size a frame announces is what a hostile one lies about.
    """
    import zstandard

    load()
    try:
        with _context.stream_reader(data) as reader:
            content: bytes = reader.read(limit + 1)
            left = len(content) <= limit and reader.read(1)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from None
    if left or len(content) > limit:
        raise ValueError(f"more than {limit} bytes")
    return content
