"""Who gets in and whose requests count, over plain HTTP: codes, Host, other sites, tokens of forms, the agent's own verbs."""

import http.client
import json
import re
import socket
from urllib.parse import urlencode

import pytest

from skerry_node.portal.app import ROUTES

SAME = {"Sec-Fetch-Site": "same-origin"}


class Visitor:
    """A browser without pictures."""

    def __init__(self, board):
        self.board, self.cookie, self.token = board, "", ""

    def ask(self, method, path, form=None, **headers):
        connection = http.client.HTTPConnection(self.board.node.host.address, self.board.portal.port, timeout=60)
        sent = {"Cookie": self.cookie} if self.cookie else {}
        if form is not None:
            form = urlencode(form)
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        try:
            connection.request(method, path, form, {**sent, **headers})
            answer = connection.getresponse()
            self.headers, text = answer.headers, answer.read().decode()
        finally:
            connection.close()
        if made := answer.headers.get("Set-Cookie"):
            self.cookie = made.partition(";")[0]
        if found := re.search(r'name="token" value="(\w+)"', text):
            self.token = found[1]
        return answer.status, text

    def get(self, path, **headers):
        return self.ask("GET", path, **headers)

    def post(self, path, headers=SAME, **form):
        return self.ask("POST", path, {"token": self.token, **form}, **headers)

    def enter(self, code=None):
        return self.ask("POST", "/sign-in", {"code": code or self.board.code, "next": "/log"}, **SAME)


@pytest.fixture
def visitor(board):
    return Visitor(board)


@pytest.fixture
def inside(board):
    made = Visitor(board)
    assert made.enter()[0] == 303 and made.headers["Location"] == "/log"
    assert made.get("/enrol")[0] == 200
    return made


def agent(board, verb, **fields):
    """One POST on the portal's socket, as a portal that was taken over might send it."""
    data = json.dumps(fields).encode()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(board.node.socket).removesuffix(".sock") + "-portal.sock")
        sock.settimeout(60)
        head = f"POST /portal/v0/{verb} HTTP/1.1\r\nHost: local-skerryd.sock\r\nContent-Length: {len(data)}\r\n\r\n"
        sock.sendall(head.encode() + data)
        answer = b""
        while more := sock.recv(65536):
            answer += more
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def test_without_a_session_every_page_asks_for_the_code_and_tells_nothing(visitor, board):
    for route in ROUTES:
        if route.anyone:
            continue
        path = route.path.replace("{name}", "x")
        status, text = visitor.ask(route.method, path, {} if route.method == "POST" else None, **SAME)
        assert status == 401 and "Is this your board?" in text, path
        assert board.code not in text and "10.99" not in text
    visitor.cookie = "skerry-portal=" + "A" * 43
    assert visitor.get("/log")[0] == 401


def test_the_session_is_of_this_site_alone(visitor):
    assert visitor.enter()[0] == 303
    cookie = visitor.headers["Set-Cookie"]
    assert re.fullmatch(r"skerry-portal=[\w-]{43}; HttpOnly; Max-Age=604800; Path=/; SameSite=Strict", cookie)
    assert visitor.get("/log")[0] == 200
    policy = visitor.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ") and "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy and visitor.headers["X-Content-Type-Options"] == "nosniff"
    assert visitor.headers["Cache-Control"] == "no-store"
    stolen = visitor.cookie
    assert visitor.post("/sign-out")[0] == 303
    visitor.cookie = stolen
    assert visitor.get("/log")[0] == 401  # at the agent, not in the browser only


def test_guessing_is_slow_for_the_guesser_and_ends_at_the_console(visitor, board):
    right = board.code
    for _ in range(9):
        wrong = visitor.enter("AAAA-AAAA")
        assert wrong[0] in {403, 429}
    status, text = visitor.enter(right)
    assert status == 429 and re.search(r"wait \d+ s, then try again", text)
    assert board.code  # whoever sits at the board asks for it, which ends the delay
    assert visitor.enter()[0] == 303


def test_names_that_are_not_ours_are_told_nothing(inside, board):
    ours = ("localhost", "10.99.0.77", "[fe80::1]", "127.0.0.1:1234")
    for host in ours:
        assert inside.get("/log", Host=host)[0] == 200, host
    for host in ("evil.example", "10.99.0.2.evil.example", "[::", "", "camera-1.local.evil.example"):
        status, text = inside.get("/log", Host=host)
        assert status == 421 and board.code not in text and "ready:" not in text, host


def test_forms_of_other_sites_and_of_other_sessions_do_nothing(inside, board):
    wanted = {"gateway": "http://192.0.2.1:8080"}
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "none"}, {}, {"Origin": "http://evil.example"}):
        assert inside.post("/enrol", headers, **wanted)[0] == 403, headers
    token, inside.token = inside.token, "0" * 64
    status, text = inside.post("/enrol", **wanted)
    assert status == 403 and "Open the page again" in text
    inside.token = token
    assert inside.post("/enrol", **wanted, extra="1")[0] == 400
    assert board.node.own_status()["wanted"] is False
    own = {"Origin": f"http://{board.node.host.address}:{board.portal.port}"}
    assert inside.post("/enrol", own, **wanted)[0] == 303  # a browser without Sec-Fetch-Site


def test_the_agent_itself_wants_a_session_and_reads_no_file(board):
    for verb in ("status", "why", "doctor", "log", "watch", "up", "cancel", "down", "leave", "sign-out"):
        assert agent(board, verb, gateway="http://192.0.2.1")[0] == 401, verb
    assert agent(board, "capture")[0] == agent(board, "../../localapi/v0/skerry/code")[0] == 404
    session = agent(board, "sign-in", code=board.code, source="192.0.2.1")[1]["session"]
    status, answer = agent(board, "up", session=session, gateway="http://192.0.2.1", key="file:/etc/shadow")
    assert status == 400 and answer["error"] == "paste the pre-auth key itself: the portal reads no files"
    assert agent(board, "up", session=session, gateway=7)[0] == 400
    assert agent(board, "up", session=session, gateway="x" * 3000)[0] == 400
    assert board.node.own_status()["wanted"] is False


def test_the_portal_survives_without_the_agent_and_the_session_survives_the_portal(inside, board):
    board.portal.restart()
    assert inside.get("/enrol")[0] == 200
    board.node.stop()
    try:
        status, text = inside.get("/enrol")
        assert status == 503 and "sudo systemctl restart skerryd" in text
    finally:
        board.node.start()


def test_a_new_code_ends_every_session(inside, board):
    before = board.code
    assert json.loads(board.node.cli("code", "--new", "--json").stdout)["code"] != before
    assert inside.get("/enrol")[0] == 401
    assert inside.enter(before)[0] == 403 and inside.enter()[0] == 303
