"""A traffic camera's page for the demo: a generated picture of a road, another each moment. `camera.py ADDRESS PORT`.

GET / is the page, GET /picture.svg the picture. The page reloads the picture twice a second; without script it reloads itself.
"""

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CARS = [("#d33", 0.11, 150, 0.0), ("#28c", 0.07, 150, 0.4), ("#eb2", -0.09, 115, 0.2), ("#5a5", -0.06, 115, 0.7)]

PAGE = b"""<!doctype html><html lang="en"><meta charset="utf-8"><title>camera-1</title>
<meta name="viewport" content="width=device-width"><noscript><meta http-equiv="refresh" content="1"></noscript>
<style>body{font:16px system-ui;margin:2rem auto;max-width:44rem;padding:0 1rem;color-scheme:light dark}
img{width:100%;border-radius:8px}</style>
<h1>camera-1</h1><img id="p" src="/picture.svg" alt="the road, live">
<p>This page comes from a node behind a NAT, through the tunnel, to a node behind another NAT.</p>
<script>setInterval(()=>{document.getElementById("p").src="/picture.svg?"+Date.now()},500)</script></html>"""


def picture(now: float) -> str:
    """An SVG of the road as it looks at `now` (Unix seconds)."""
    cars = "".join(
        f'<rect x="{(start + now * speed) % 1.2 * 480 - 60:.0f}" y="{lane}" width="48" height="20" rx="5" fill="{colour}"/>'
        for colour, speed, lane, start in CARS
    )
    clock = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now)) + f".{int(now * 10) % 10}"
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 480 240"><rect width="480" height="240" fill="#9cc"/>'
        '<rect y="100" width="480" height="90" fill="#555"/><path d="M0 145H480" stroke="#fff" stroke-dasharray="24" stroke-width="3"/>'
        f'{cars}<text x="10" y="226" font-family="monospace" font-size="16">camera-1  {clock} UTC</text></svg>'
    )


class Camera(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/":
            self.answer("text/html; charset=utf-8", PAGE)
        elif self.path.startswith("/picture.svg"):
            self.answer("image/svg+xml", picture(time.time()).encode())
        else:
            self.send_error(404)

    def answer(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Camera).serve_forever()
