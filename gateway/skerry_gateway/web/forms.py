"""Reading forms: urlencoded, bounded, every field a string that was sent once."""

from __future__ import annotations

from aiohttp import web

from skerry_gateway.web.guard import Denied


async def read(request: web.Request, *names: str) -> dict[str, str]:
    """The named fields, "" for those that are missing. Other fields, files and repeated fields are refused."""
    if request.content_type not in {"application/x-www-form-urlencoded", "application/octet-stream"}:
        raise Denied(415, "Send the form as application/x-www-form-urlencoded.")
    sent = await request.post()
    values = dict.fromkeys(names, "")
    if set(sent) - set(names) or len(sent) != len(set(sent)):
        raise Denied(400, "The form has fields this page does not know.")
    for name, value in sent.items():
        if not isinstance(value, str):
            raise Denied(400, f"The field {name} must be text.")
        values[name] = value.strip()
    return values


def number(request: web.Request, name: str = "id") -> int:
    text = request.match_info[name]
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise Denied(404, "There is no such page.")
    return int(text)
