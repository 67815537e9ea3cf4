"""A timeline as SVG: one lane for the node's state, one each for gateway, relay, network, person and every peer; a mark a step, a coloured
bar where a peer has a direct path, a paler one where a relay carries it. Self-contained; every mark says on hover what it is."""

from .timeline import clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .timeline import Row

LEFT, WIDTH, LANE, TOP = 140, 1200, 28, 34
FIRST = ("state", "gateway", "relay", "network", "person", "time")
COLOURS = {"Running": "#2e8b57", "Starting": "#d9a441", "NeedsLogin": "#b5483a", "NeedsMachineAuth": "#b5483a", "Stopped": "#888888"}
MARKS = 20_000
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#333}line{stroke:#ddd}.m{fill:#35658a}.e{fill:#b5483a}"
    "@media(prefers-color-scheme:dark){svg{background:#16191c}text{fill:#ddd}line{stroke:#333}.m{fill:#7fb2da}}"
)


def draw(rows: "list[Row]", title: str) -> str:
    """The whole drawing; rows that are too many for one are thinned out."""
    names = [*FIRST, *sorted({name for row in rows for name in [row.lane, *(peer for peer, _ in row.moved)]} - set(FIRST))]
    lanes = {name: TOP + LANE * number for number, name in enumerate(names)}
    span = max([row.at for row in rows] or [0]) or 1
    height = TOP + LANE * len(lanes) + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + 20} {height}" role="img" aria-label="{escape(title)}">',
        f'<style>{STYLE}</style><text x="8" y="18" font-weight="bold">{escape(title)}</text>',
    ]
    for name, y in lanes.items():
        parts.append(f'<text x="8" y="{y + 18}">{escape(name[:20])}</text>')
        parts.append(f'<line x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y + 14}" y2="{y + 14}"/>')
    parts += _bars(rows, lanes, span)
    shown = [row for row in rows if row.decided or row.events or row.lane != "time"]
    for row in shown[:: len(shown) // MARKS + 1]:
        parts.append(_mark(row, lanes[row.lane], span))
    for part in range(5):
        at = span * part // 4
        parts.append(f'<text x="{_x(at, span)}" y="{height - 6}" text-anchor="middle">{clock(at).strip()}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bars(rows: "list[Row]", lanes: "dict[str, int]", span: int) -> "list[str]":
    open_: dict[str, tuple[int, str]] = {}
    parts = []
    changes = [(row.at, "state", row.state) for row in rows if row.state]
    changes += [(row.at, peer, way) for row in rows for peer, way in row.moved]
    for at, lane, what in [*sorted(changes, key=lambda change: change[0]), *((span, lane, "") for lane in lanes)]:
        since, before = open_.get(lane, (at, ""))
        if before and before != "no path":
            colour = COLOURS.get(before, "#888888") if lane == "state" else "#c9b458" if before.startswith("relay") else "#5aa469"
            x = _x(since, span)
            parts.append(
                f'<rect x="{x}" y="{lanes[lane] + 9}" width="{max(_x(at, span) - x, 1):.1f}" height="10" fill="{colour}">'
                f"<title>{escape(before)} from {clock(since).strip()}</title></rect>"
            )
        open_[lane] = (at, what)
    return parts


def _mark(row: "Row", y: int, span: int) -> str:
    came = f"{clock(row.at).strip()} {row.came}"
    lines = "\n".join([came, *(f"-> {each}" for each in row.decided), *(f"!! {each}" for each in row.events)])
    bad = "e" if any("refused" in each or "error" in each or "closed" in each for each in row.events) else "m"
    return f'<rect class="{bad}" x="{_x(row.at, span)}" y="{y + 4}" width="1.5" height="20"><title>{escape(lines)}</title></rect>'


def _x(at: int, span: int) -> float:
    return round(LEFT + WIDTH * at / span, 1)


def escape(text: str) -> str:
    """Text for XML; control characters, which XML has not, become a question mark."""
    plain = "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
