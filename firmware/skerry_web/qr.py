"""QR codes (ISO/IEC 18004) as SVG inside a page: dark on light whatever the theme, with the quiet zone that cameras need."""

from __future__ import annotations

import segno
from markupsafe import Markup

LIMIT = 1200  # bytes; what is longer makes modules too small for a phone's camera


def svg(text: str, label: str) -> Markup:
    """An <svg class="qr"> that says `text`, with `label` for those who do not see it; "" when there is too much to say."""
    if not text or len(text.encode()) > LIMIT:
        return Markup("")
    drawn = segno.make(text, error="m", micro=False)
    size = drawn.symbol_size(border=4)[0]
    path = "".join(f"M{x} {y}h1v1h-1z" for y, row in enumerate(drawn.matrix_iter(border=4)) for x, dark in enumerate(row) if dark)
    head = Markup('<svg class="qr" role="img" aria-label="{}" viewBox="0 0 {} {}" shape-rendering="crispEdges">').format(label, size, size)
    return head + Markup('<rect width="{}" height="{}" fill="#ffffff"/><path fill="#000000" d="{}"/></svg>').format(size, size, path)
