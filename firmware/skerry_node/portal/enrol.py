"""Joining a network and leaving it. One page follows an enrolment from the form through the sign-in link to success.

`/connect?gateway=...&key=...&hostname=...` is what a gateway's console shows as QR and link: it opens the form filled in and sends
nothing. It comes from another site, whose requests carry no SameSite=Strict cookie, so it leads on from a page of ours.
"""

from __future__ import annotations

from urllib.parse import urlencode

from aiohttp import web

from skerry_node.portal import words
from skerry_node.portal.agent import Said
from skerry_node.portal.pages import shown
from skerry_node.portal.site import SITE, page, see, sentence, session_of

FIELDS = ("gateway", "key", "hostname")
TEXT = 1024  # characters of a field that is shown again


async def connect(request: web.Request) -> web.StreamResponse:
    """On to the form, with what the link holds."""
    given = {name: request.query[name][:TEXT] for name in FIELDS if request.query.get(name)}
    return page(request, "connect.html", target="/enrol" + (f"?{urlencode(given)}" if given else ""))


async def form(request: web.Request) -> web.StreamResponse:
    """The form, or how far an enrolment is."""
    document = await shown(request)
    if document["joining"]:
        return page(request, "joining.html", signed_in=True, shown=document, headline=words.headline(document))
    if document["state"] != "NeedsLogin":
        return see("/")
    values = {name: request.query.get(name, "")[:TEXT] for name in FIELDS}
    failure = words.refused(document["failure"]) if document["failure"] else ""
    return _form(request, document["hostname"], values, failure)


def _form(request: web.Request, hostname: str, values: dict[str, str], problem: str, status: int = 200) -> web.Response:
    values = {**values, "hostname": values["hostname"] or hostname}
    return page(request, "enrol.html", status, signed_in=True, values=values, problem=problem)


async def send(request: web.Request) -> web.StreamResponse:
    """Join. What is wrong is said above the form, which keeps what was typed but the key."""
    values = {name: value[:8192] for name, value in request["form"].items()}
    document = await shown(request)
    problem = _problem(values)
    if not problem:
        try:
            await request.app[SITE].agent.call("up", session=session_of(request), **values)
            return see("/enrol")
        except Said as said:
            if said.status == 401:
                raise
            document = await shown(request)
            if document["state"] != "NeedsLogin":
                return see("/")  # somebody was faster, or this is a second click
            problem = sentence(str(said).replace("the request: ", ""))
    kept = {name: value[:TEXT] for name, value in values.items()}
    return _form(request, document["hostname"], {**kept, "key": ""}, problem, 400)


def _problem(values: dict[str, str]) -> str:
    if not values["gateway"]:
        return "Enter the gateway's address: the gateway prints it when it starts, and its console shows it."
    words = {"gateway": "gateway's address", "key": "key", "hostname": "name"}
    for name, limit in (("gateway", 512), ("key", 512), ("hostname", 63)):
        if len(values[name]) > limit:
            return f"The {words[name]} has {len(values[name])} characters; at most {limit} are possible. Copy it again."
    return ""


async def cancel(request: web.Request) -> web.StreamResponse:
    """Stop joining."""
    if (await shown(request))["joining"]:
        await request.app[SITE].agent.call("cancel", session=session_of(request))
    return see("/")


async def come_back(request: web.Request) -> web.StreamResponse:
    """Connect a member that was told to stay away."""
    if (await shown(request))["state"] == "Stopped":
        await request.app[SITE].agent.call("up", session=session_of(request))
    return see("/")


async def go_down(request: web.Request) -> web.StreamResponse:
    """Disconnect, stay a member."""
    if (await shown(request))["state"] != "NeedsLogin":
        await request.app[SITE].agent.call("down", session=session_of(request))
    return see("/")


async def leave_page(request: web.Request) -> web.StreamResponse:
    """Asks once more."""
    document = await shown(request)
    return see("/") if document["state"] == "NeedsLogin" else page(request, "leave.html", signed_in=True, shown=document)


async def leave(request: web.Request) -> web.StreamResponse:
    """Leave the network; a second click finds it done."""
    if request["form"]["sure"] != "yes":
        return see("/leave")
    if (await shown(request))["state"] != "NeedsLogin":
        await request.app[SITE].agent.call("leave", session=session_of(request))
    return see("/")
