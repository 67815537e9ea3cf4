"""Names: one form with all DNS settings, a list a field, one entry a line."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from skerry_gateway.web import forms
from skerry_gateway.web.context import Context
from skerry_gateway.web.pages import parts, see

LISTS = ("nameservers", "routes", "search", "records")


async def show(request: web.Request) -> web.StreamResponse:
    context, user = parts(request)
    return context.page(request, "dns.html", names=_lines(context.call(user, "dns show", {})))


async def change(request: web.Request) -> web.StreamResponse:
    """The whole form is the whole of the settings; only the base domain must not become empty."""
    context, user = parts(request)
    form = await forms.read(request, "magic", "base_domain", *LISTS)
    values: dict[str, Any] = {name: [line.strip() for line in form[name].splitlines() if line.strip()] for name in LISTS}
    values["magic"] = form["magic"] == "on"
    if form["base_domain"] and form["base_domain"] != _domain(context, user):
        values["base_domain"] = form["base_domain"]
    context.call(user, "dns set", values)
    return see("/dns")


def _domain(context: Context, user: Any) -> str:
    return str(context.call(user, "dns show", {})["base_domain"])


def _lines(found: dict[str, Any]) -> dict[str, Any]:
    """The settings as the form's fields."""
    routes = [f"{domain}={','.join(servers)}" for domain, servers in found["routes"].items()]
    records = [f"{each['name']}={each['value']}" for each in found["records"]]
    lists = {"nameservers": found["nameservers"], "routes": routes, "search": found["search"], "records": records}
    return {**found, **{name: "\n".join(lines) for name, lines in lists.items()}}
