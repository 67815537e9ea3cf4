"""Data used: by uplink and purpose, today and this month, a plot of the month and what it comes to at this rate."""

from __future__ import annotations

import calendar
from typing import Any

from aiohttp import web
from markupsafe import Markup

from skerry_node.portal.site import SITE, page, session_of
from skerry_web.words import amount

PURPOSES = (
    ("direct", "To devices, directly"),
    ("relay", "Through a relay"),
    ("control", "Gateway"),
    ("discovery", "Finding paths"),
)
HEIGHT, SLOT = 100, 20  # of the plot, in its own units
Days = dict[str, dict[str, dict[str, list[int]]]]


async def page_of_data(request: web.Request) -> web.StreamResponse:
    record = await request.app[SITE].agent.call("data", session=session_of(request))
    today, days = record["today"], record["days"]
    month = {day: row for day, row in days.items() if today and day[:7] == today[:7]}
    tables = [("Today", rows({today: days.get(today, {})})), ("This month", rows(month))]
    drawn: dict[str, Any] = {"plot": plot(month, today), "forecast": forecast(month, today)}
    return page(request, "data.html", signed_in=True, tables=tables, record=record, **drawn)


def rows(days: Days) -> list[dict[str, Any]]:
    """One row for each uplink and purpose that has bytes, the largest uplink first, and a last one with the sum."""
    sums: dict[tuple[str, str], list[int]] = {}
    for uplinks in days.values():
        for uplink, purposes in uplinks.items():
            for purpose, pair in purposes.items():
                cell = sums.setdefault((uplink, purpose), [0, 0])
                cell[0] += pair[0]
                cell[1] += pair[1]
    names = dict(PURPOSES)
    found: list[dict[str, Any]] = [
        {"uplink": uplink, "purpose": names[purpose], "sent": pair[0], "received": pair[1]} for (uplink, purpose), pair in sums.items()
    ]
    found.sort(key=lambda row: (row["uplink"], -row["sent"] - row["received"]))
    total = {"uplink": "all", "purpose": "", "sent": sum(row["sent"] for row in found), "received": sum(row["received"] for row in found)}
    return [*found, total]


def total(uplinks: dict[str, dict[str, list[int]]], purpose: str = "") -> int:
    """Bytes of a day, both ways; of one purpose, or of all."""
    return sum(sum(pair) for purposes in uplinks.values() for name, pair in purposes.items() if purpose in ("", name))


def forecast(month: Days, today: str) -> str:
    """What the month comes to if it goes on as on its whole days so far; "" before there is one."""
    whole = sorted(day for day in month if day < today)
    if not whole:
        return ""
    year, number, now = (int(part) for part in today.split("-"))
    span = now - int(whole[0][8:])  # days since counting began, without today
    average = sum(total(month[day]) for day in whole) / span
    left = calendar.monthrange(year, number)[1] - now
    so_far = sum(total(row) for row in month.values())
    return f"At this rate the month comes to {amount(round(so_far + average * left))}."


def plot(month: Days, today: str) -> Markup:
    """The days of the month as stacked bars; the table below says the same in numbers."""
    if not today:
        return Markup("")
    count = calendar.monthrange(int(today[:4]), int(today[5:7]))[1]
    days = [f"{today[:7]}-{number:02d}" for number in range(1, count + 1)]
    most = max((total(month.get(day, {})) for day in days), default=0) or 1
    bars = Markup("")
    for place, day in enumerate(days):
        base = float(HEIGHT)
        for kind, _ in PURPOSES:
            high = round(total(month.get(day, {}), kind) * HEIGHT / most, 1)
            base -= high
            if high:
                shape = Markup('<rect class="bar {}" x="{}" y="{:.1f}" width="{}" height="{}"><title>{}: {}</title></rect>')
                bars += shape.format(kind, place * SLOT + 2, base, SLOT - 4, high, day, amount(total(month[day], kind)))
        label = '<text x="{}" y="{}" text-anchor="middle">{}</text>'
        bars += Markup(label).format(place * SLOT + SLOT // 2, HEIGHT + 16, place + 1) if (place + 1) % 5 == 0 or not place else ""
    head = Markup('<svg class="plot" role="img" aria-label="Bytes of each day of the month, up to {}" viewBox="0 0 {} {}">')
    return head.format(amount(most), count * SLOT, HEIGHT + 22) + bars + Markup("</svg>")
