"""Server-sent events (WHATWG HTML, 9.2): a line whenever the page may have changed. The browser then asks for the page again, so that
there is one way to draw it. At most STREAMS at a time; each ends after LONGEST, and the browser comes back if somebody still looks.
"""

from __future__ import annotations

import time

from aiohttp import web

from skerry_node.portal.site import HEADERS, SITE, Denied, session_of

STREAMS, LONGEST, TICK = 16, 600, 3  # streams; s; s between two looks when nothing is told


async def live(request: web.Request) -> web.StreamResponse:
    """The stream of one page."""
    site = request.app[SITE]
    if site.streams >= STREAMS:
        raise Denied(503, "Too many pages are open; this one is right until it is loaded again.")
    session = session_of(request)
    await site.agent.call("status", session=session)
    response = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await response.prepare(request)
    site.streams += 1
    end = time.monotonic() + LONGEST
    try:
        async for _ in site.agent.watch(session, TICK):
            await response.write(b"data: changed\n\n")
            if time.monotonic() > end:
                break
    except ConnectionError:
        pass  # the page was closed
    finally:
        site.streams -= 1
    return response
