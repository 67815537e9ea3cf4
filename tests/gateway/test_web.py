"""The console over HTTP: who may call which address, other sites, other hosts, signing in, and what each form does."""

import asyncio
import hashlib
import html
import json
import re
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from aiohttp import ClientSession, CookieJar
from aiohttp.test_utils import TestServer

from skerry_core.tailcfg.keys import encode_key
from skerry_gateway import admin
from skerry_gateway.control import Session
from skerry_gateway.options import Options
from skerry_gateway.serve.gateway import assemble
from skerry_gateway.store import StateDir, queries
from skerry_gateway.web.app import ROUTES
from skerry_gateway.web.context import CONTEXT
from skerry_gateway.web.pages import sentence
from skerry_web.words import ago, exact

SAME = {"Sec-Fetch-Site": "same-origin"}

# (method, path): expected status for nobody, a member, an owner. The member's device is node 2, the owner's node 1.
MATRIX = {
    ("GET", "/key"): (200, 200, 200),
    ("GET", "/derp/probe"): (200, 200, 200),
    ("GET", "/derp/latency-check"): (200, 200, 200),
    ("GET", "/generate_204"): (204, 204, 204),
    ("GET", "/healthz"): (200, 200, 200),
    ("GET", "/static/{name}"): (200, 200, 200),
    ("GET", "/sign-in"): (200, 200, 200),
    ("GET", "/sign-in/{token}"): (404, 404, 404),
    ("POST", "/sign-in/{token}"): (404, 404, 404),
    ("GET", "/"): (401, 200, 200),
    ("GET", "/connect"): (401, 200, 200),
    ("GET", "/register/{id}"): (401, 404, 404),
    ("POST", "/register/{id}"): (401, 400, 400),
    ("GET", "/ssh/{token}"): (401, 400, 400),
    ("POST", "/ssh/{token}"): (401, 400, 400),
    ("GET", "/nodes"): (401, 200, 200),
    ("GET", "/nodes/{id}"): (401, 404, 200),
    ("POST", "/nodes/{id}/approve"): (401, 403, 303),
    ("POST", "/nodes/{id}/rename"): (401, 404, 400),
    ("POST", "/nodes/{id}/expire"): (401, 404, 303),
    ("POST", "/nodes/{id}/remove"): (401, 404, 303),
    ("GET", "/routes"): (401, 200, 200),
    ("POST", "/nodes/{id}/routes/approve"): (401, 403, 400),
    ("POST", "/nodes/{id}/routes/withdraw"): (401, 403, 400),
    ("GET", "/keys"): (401, 200, 200),
    ("POST", "/keys"): (401, 200, 200),
    ("POST", "/keys/{id}/revoke"): (401, 400, 303),
    ("GET", "/users"): (401, 403, 200),
    ("POST", "/users"): (401, 403, 400),
    ("POST", "/users/{name}/link"): (401, 403, 200),
    ("GET", "/dns"): (401, 403, 200),
    ("POST", "/dns"): (401, 403, 303),
    ("GET", "/api/v1/live"): (401, 200, 200),
    ("POST", "/api/v1/call"): (401, 415, 415),
    ("POST", "/sign-out"): (303, 303, 303),
}
VALUES = {"{name}": "style.css", "{token}": "A" * 43, "{id}": "1"}


class Console:
    """A gateway's console on a free port, with an owner, a member `mia`, and a device of each (`one` and `two`)."""

    def __init__(self, tmp_path, **options):
        self.options = {"listen": ("127.0.0.1", 8080), "url": "http://127.0.0.1:8080", **options}
        self.state = StateDir(tmp_path / "state").prepare()

    async def __aenter__(self):
        self.gateway = assemble(Options(self.state.path, **self.options), self.state, 8080, 3478)
        self.coordinator = self.gateway.coordinator
        self.identity = self.coordinator.identity
        self.wall = self.coordinator.wall(self.now())
        self.owner_token = self.identity.ensure_owner(self.wall)[1]
        self.coordinator.reload_users(self.now())
        self.verb("users create", name="mia")
        self.add_node("one", "owner")
        self.add_node("two", "mia")
        self.server = TestServer(self.gateway.app)
        await self.server.start_server()
        self.url = str(self.server.make_url("/")).rstrip("/")
        return self

    async def __aexit__(self, *_):
        await self.server.close()
        self.gateway.stop()

    def now(self):
        return self.gateway.control.now()

    def verb(self, verb, /, **arguments):
        return admin.call(self.coordinator, verb, arguments, self.now())

    def add_node(self, name, owner, approved=True):
        key = hashlib.sha256(name.encode()).digest()
        with self.coordinator.store.write() as c:
            user = next(user for user in self.coordinator.members.users.values() if user.name == owner)
            values = {"stable_id": name, "machine_key": key, "node_key": key[::-1], "name": name, "hostname": name, "os": "linux"}
            values |= {"version": 142, "user_id": user.id, "tags": (), "routes_advertised": (), "routes_approved": (), "approved": approved}
            values |= {"ephemeral": False, "renamed": False, "key_id": None, "created_ms": 1, "expires_ms": None, "last_seen_ms": None}
            node = queries.create_node(c, network_id=self.coordinator.members.network.id, **values)
        self.coordinator.commit([node], [], self.now())
        return node

    def link(self, name):
        return self.verb("users link", name=name)["url"].rpartition("/")[2]

    def client(self):
        return Client(self)

    async def signed_in(self, name):
        client = self.client()
        assert (await client.post(f"/sign-in/{self.link(name)}"))[0] == 303
        return client


class Client:
    def __init__(self, console):
        self.console = console
        self.session = ClientSession(cookie_jar=CookieJar(unsafe=True))

    async def ask(self, method, path, headers=None, **more):
        async with self.session.request(method, self.console.url + path, headers=headers, allow_redirects=False, **more) as answer:
            self.headers = answer.headers
            return answer.status, await answer.text()

    async def get(self, path, **headers):
        return await self.ask("GET", path, headers)

    async def post(self, path, data=None, headers=SAME):
        return await self.ask("POST", path, headers, data=data)

    async def call(self, verb, /, **arguments):
        status, text = await self.ask("POST", "/api/v1/call", SAME, json={"verb": verb, "arguments": arguments})
        return status, json.loads(text)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.session.close()


def console(tmp_path, body, **options):
    async def main():
        async with Console(tmp_path, **options) as running:
            await body(running)

    asyncio.run(main())


def test_every_route_answers_each_role_as_listed(tmp_path):
    assert {(route.method, route.path) for route in ROUTES} == set(MATRIX)

    async def body(running):
        registered = {(route.method, route.resource.canonical) for route in running.gateway.app.router.routes() if route.method != "HEAD"}
        assert registered == set(MATRIX)
        key = running.verb("keys create", user="owner")
        found = {}
        for at, role in enumerate((None, "mia", "owner")):
            for (method, path), expected in MATRIX.items():
                client = running.client() if role is None else await running.signed_in(role)
                for name, value in VALUES.items():
                    path = path.replace(name, {"/users/{name}/link": "mia", "/keys/{id}/revoke": str(key["id"])}.get(path, value))
                async with client:
                    status = (await client.ask(method, path, SAME))[0]
                if status != expected[at]:
                    found[role, method, path] = (status, "expected", expected[at])
            if not any(node.name == "one" for node in running.coordinator.members.nodes.values()):
                assert role == "owner"
        assert found == {}

    console(tmp_path, body)


def test_unsafe_requests_of_other_sites_are_refused(tmp_path):
    async def body(running):
        async with await running.signed_in("owner") as client:
            good = {"Origin": running.url}
            for headers in (
                None,
                {"Origin": "http://evil.example"},
                {"Origin": "null"},
                {"Origin": running.url + ".evil.example"},
                {"Sec-Fetch-Site": "cross-site"},
                {"Sec-Fetch-Site": "same-site"},
                {"Sec-Fetch-Site": "none"},
                {"Sec-Fetch-Site": "cross-site", **good},
            ):
                for path in ("/nodes/1/remove", "/sign-out", "/keys", "/api/v1/call"):
                    assert (await client.post(path, headers=headers))[0] == 403, (path, headers)
            assert len(running.coordinator.members.nodes) == 2
            assert (await client.post("/nodes/1/remove", headers=good))[0] == 303
            assert len(running.coordinator.members.nodes) == 1

    console(tmp_path, body)


def test_only_our_own_names_are_answered(tmp_path):
    async def body(running):
        async with await running.signed_in("owner") as client:
            assert (await client.get("/", Host="gw.example"))[0] == 200
            assert (await client.get("/", Host="gw.example:9999"))[0] == 200
            assert (await client.get("/", Host="localhost"))[0] == 200
            for host in ("evil.example", "gw.example.evil.example", "10.0.0.1", "[::", ""):
                status, text = await client.get("/", Host=host)
                assert status in {400, 421} and "one" not in re.findall(r"/nodes/\d+\">(\w+)", text), host
            for path in ("/key", "/healthz", "/derp/probe"):
                assert (await client.get(path, Host="evil.example"))[0] == 200
            assert (await client.get("/static/style.css", Host="evil.example"))[0] == 421

    console(tmp_path, body, url="http://gw.example")


def test_two_host_headers_are_refused(tmp_path):
    async def body(running):
        reader, writer = await asyncio.open_connection("127.0.0.1", running.server.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(), 5)).startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 "))
        writer.close()

    console(tmp_path, body)


def test_every_answer_carries_the_headers(tmp_path):
    async def body(running):
        async with running.client() as client:
            for path in ("/", "/sign-in", "/nothing-here", "/key", "/api/v1/live", "/static/style.css"):
                await client.get(path)
                policy = client.headers["Content-Security-Policy"]
                assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
                assert "frame-ancestors 'none'" in policy and "unsafe" not in policy
                assert client.headers["X-Content-Type-Options"] == "nosniff"
                assert client.headers["Cross-Origin-Opener-Policy"] == "same-origin"
                assert client.headers["Cache-Control"] == ("max-age=300" if "static" in path else "no-store")
                assert "Access-Control-Allow-Origin" not in client.headers and "Strict-Transport-Security" not in client.headers

    console(tmp_path, body)


def test_a_link_signs_in_once_and_only_by_the_button(tmp_path):
    async def body(running):
        async with running.client() as client, running.client() as thief:
            path = f"/sign-in/{running.owner_token}"
            for _ in range(3):
                status, text = await client.get(path)
                assert status == 200 and "Sign in as owner" in text
            assert "Set-Cookie" not in client.headers
            assert (await client.get("/"))[0] == 401
            assert (await client.post(path))[0] == 303
            cookie = client.headers["Set-Cookie"]
            assert re.match(r"skerry-plain=[\w-]{43}; HttpOnly; Max-Age=43200; Path=/; SameSite=Lax$", cookie)
            assert (await client.get("/"))[0] == 200
            status, text = await thief.post(path)
            assert status == 404 and "does not work any more" in text
            assert (await thief.get(path))[0] == 404
            token = cookie.partition("=")[2].partition(";")[0]
            assert (await client.post("/sign-out"))[0] == 303
            thief.session.cookie_jar.update_cookies({"skerry-plain": token}, response_url=thief.session._build_url(running.url))
            assert (await thief.get("/"))[0] == 401  # signed out on the gateway, not only in the browser

    console(tmp_path, body)


def test_over_https_the_cookie_cannot_be_set_by_others(tmp_path):
    async def body(running):
        async with running.client() as client:
            host = {"Host": "gw.example", **SAME}
            assert (await client.post(f"/sign-in/{running.owner_token}", headers=host))[0] == 303
            assert re.match(
                r"__Host-skerry=[\w-]{43}; HttpOnly; Max-Age=43200; Path=/; SameSite=Lax; Secure$", client.headers["Set-Cookie"]
            )
            assert client.headers["Referrer-Policy"] == "no-referrer"

    console(tmp_path, body, url="https://gw.example")


def test_a_removed_user_is_out_at_once(tmp_path):
    async def body(running):
        async with await running.signed_in("mia") as client:
            assert (await client.get("/"))[0] == 200
            running.verb("users remove", name="mia", with_nodes=True)
            assert (await client.get("/"))[0] == 401

    console(tmp_path, body)


def test_members_see_and_change_only_their_own(tmp_path):
    async def body(running):
        theirs = running.verb("keys create", user="owner")["id"]
        async with await running.signed_in("mia") as client:
            for path in ("/", "/nodes"):
                _, text = await client.get(path)
                assert re.findall(r'/nodes/\d+">(\w+)', text) == ["two"]
            assert f"/keys/{theirs}/revoke" not in (await client.get("/keys"))[1]
            assert (await client.post("/nodes/2/rename", {"name": "mias-pi"}))[0] == 303
            assert (await client.post("/nodes/1/rename", {"name": "stolen"}))[0] == 404
            assert (await client.post("/keys", {"user": "owner"}))[0] == 400
            assert (await client.post("/keys", {"tags": "tag:camera"}))[0] == 400
            status, text = await client.post("/keys", {"user": "mia", "reusable": "on", "expires": "2h"})
            assert status == 200 and len(re.findall(r"skey-[\w-]{43}", text)) == 2
            for verb in ("users link", "users create", "policy set", "network set", "nodes approve"):
                status, answer = await client.call(verb, name="owner", text="{}", node=1)
                assert status == 400 and "error" in answer, verb
        names = {node.name for node in running.coordinator.members.nodes.values()}
        assert names == {"one", "mias-pi"}

    console(tmp_path, body)


def test_nodes_keys_and_users_by_form(tmp_path):
    async def body(running):
        async with await running.signed_in("owner") as client:
            status, text = await client.get("/nodes/1")
            assert "Direct paths" in text and "What NAT is in front of" in text
            assert status == 200 and "100.64.0." in text
            assert (await client.post("/nodes/1/rename", {"name": "no_good"}))[0] == 400
            assert (await client.post("/nodes/1/rename", {"name": "camera"}))[0] == 303
            assert (await client.post("/nodes/1/expire"))[0] == 303
            assert "expired" in (await client.get("/nodes/1"))[1]
            assert (await client.post("/nodes/1/remove"))[0] == 303
            assert (await client.get("/nodes/1"))[0] == 404
            status, text = await client.post("/keys", {"user": "owner", "tags": "tag:camera, tag:field", "ephemeral": "on"})
            secret = re.search(r"skey-[\w-]{43}", text)[0]
            assert status == 200
            status, text = await client.get("/keys")
            assert secret not in text and "tag:camera" in text and "single use, ephemeral" in text
            number = re.search(r"/keys/(\d+)/revoke", text)[1]
            assert (await client.post(f"/keys/{number}/revoke"))[0] == 303
            assert "revoked" in (await client.get("/keys"))[1]
            status, text = await client.post("/users", {"name": "noa", "role": "admin"})
            assert status == 200, text
            link = re.search(r"/sign-in/[\w-]{43}", text)[0]
            async with running.client() as noa:
                assert (await noa.post(link))[0] == 303
                assert (await noa.get("/users"))[0] == 200
                assert (await noa.post("/users/owner/link"))[0] == 400  # nobody rises above their role
                assert (await noa.post("/users", {"name": "king", "role": "owner"}))[0] == 400

    console(tmp_path, body)


def test_a_node_that_waits_is_approved_by_an_administrator(tmp_path):
    async def body(running):
        running.add_node("three", "mia", approved=False)
        async with await running.signed_in("owner") as client, await running.signed_in("mia") as mia:
            for path in ("/", "/nodes"):
                _, text = await client.get(path)
                assert re.findall(r"/nodes/(\d+)/approve", text) == ["3"] and "waiting for approval" in text
                _, text = await mia.get(path)
                assert "approve" not in re.sub("approval", "", text) and "waiting for approval" in text
            assert (await client.post("/nodes/3/approve"))[0] == 303
            assert "approv" not in (await client.get("/nodes"))[1]

    console(tmp_path, body)


def test_a_device_is_let_in_by_a_person_who_saw_its_code(tmp_path):
    async def body(running):
        coordinator = running.coordinator
        claim = {
            "Version": 142,
            "NodeKey": encode_key("nodekey", bytes(range(32))),
            "Hostinfo": {"Hostname": "<b>pi</b>", "OS": "linux"},
        }
        session = Session(coordinator, ("192.0.2.1", 1), running.now())
        session.machine_key, session.version = bytes(range(1, 33)), 142
        answer = coordinator._registered(session, 1, claim, running.now())
        path = "/register/" + answer["AuthURL"].rpartition("/")[2]
        async with running.client() as client:
            status, text = await client.get(path)
            assert status == 401 and "pi" not in re.sub(r"\bskerry.*", "", text) and client.headers["Set-Cookie"].startswith("skerry-next")
            assert (await client.post(f"/sign-in/{running.link('mia')}"))[0] == 303
            assert client.headers["Location"] == path
            status, text = await client.get(path)
            assert status == 200 and "&lt;b&gt;pi&lt;/b&gt;" in text and encode_key("mkey", bytes(range(1, 33))) in text
            assert re.search(r'class="code">\w{4}-\w{4}<', text)
            assert len(coordinator.members.nodes) == 2  # looking lets nobody in
            assert (await client.post(path, {"answer": "maybe"}))[0] == 400
            assert (await client.post(path, {"answer": "approve"}, headers={"Sec-Fetch-Site": "cross-site"}))[0] == 403
            running.verb("network set", approval=True)
            status, text = await client.post(path, {"answer": "approve"})
            assert status == 200 and "waits for approval" in text
            new = coordinator.members.of_machine(bytes(range(1, 33)))
            assert coordinator.members.users[new.user_id].name == "mia"
            assert (await client.get(path))[0] == 404
            assert (await client.post(path, {"answer": "approve"}))[0] == 400

    console(tmp_path, body)


def test_the_console_links_to_a_boards_portal(tmp_path):
    async def body(running):
        async with await running.signed_in("mia") as client:
            status, text = await client.get("/connect?board=camera-1.local:8081")
            assert status == 200 and 'class="qr"' in text
            link = html.unescape(re.search(r'href="(http://camera-1\.local:8081/connect\?[^"]*)"', text)[1])
            assert parse_qs(urlsplit(link).query)["gateway"] == [running.gateway.app[CONTEXT].address]
            for board in ("evil.example/x", "a b", "<b>", "x" * 300, "javascript:alert(1)", "u@host"):
                status, text = await client.get(f"/connect?{urlencode({'board': board})}")
                assert status == 400 and "such as camera-1.local:8081" in text, board

    console(tmp_path, body)


def test_forms_and_json_that_are_not_as_expected(tmp_path):
    async def body(running):
        async with await running.signed_in("owner") as client:
            assert (await client.post("/users", {"name": "x", "extra": "1"}))[0] == 400
            assert (await client.post("/users", [("name", "x"), ("name", "y")]))[0] == 400
            assert (await client.ask("POST", "/users", SAME, json={"name": "x"}))[0] == 415
            assert (await client.post("/users", {"name": "x" * 100_000}))[0] == 413
            assert (await client.post("/nodes/99999999999999999999/remove"))[0] == 404
            assert (await client.post("/nodes/-1/remove"))[0] == 404
            for sent in ("[]", "{", '{"verb": 1}', '{"verb": "nodes list", "arguments": 7}', "[" * 9000):
                answer = await client.ask("POST", "/api/v1/call", {**SAME, "Content-Type": "application/json"}, data=sent)
                assert answer[0] == 400 and "error" in json.loads(answer[1])
            status, answer = await client.call("nodes list")
            assert status == 200 and [node["name"] for node in answer["result"]["nodes"]] == ["one", "two"]
            assert (await client.ask("DELETE", "/nodes/1", SAME))[0] == 405
            status, text = await client.get("/nothing/<here>")
            assert status == 404 and "<here>" not in text
            status, text = await client.get("/static/..%2fapp.py")
            assert status == 404

    console(tmp_path, body)


def test_live_tells_what_the_pages_show(tmp_path):
    async def body(running):
        async with await running.signed_in("owner") as client:
            status, text = await client.get("/api/v1/live")
            answer = json.loads(text)
            assert status == 200 and answer["sentence"] == "0 of 2 nodes online."
            assert answer["nodes"] == [{"id": number, "state": "offline", "word": "offline", "seen": "never"} for number in (1, 2)]

    console(tmp_path, body)


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([], "There are no nodes yet."),
        (["online"], "The only node is online."),
        (["online"] * 2, "Both nodes are online."),
        (["online"] * 3, "All 3 nodes are online."),
        (["online", "offline", "waiting", "expired"], "1 of 4 nodes online, 1 waiting for approval, 1 expired."),
    ],
)
def test_the_overview_says_in_a_sentence_whether_all_is_well(states, expected):
    assert sentence([{"state": state} for state in states]) == expected


def test_times_are_said_relative_and_exact():
    assert [ago(then, 10_000_000_000) for then in (None, 10_000_000_000, 9_999_940_000, 10_000_000_000 + 3 * 86_400_000, 0)] == [
        "never", "now", "1 minute ago", "in 3 days", "115 days ago",
    ]  # fmt: skip
    assert exact(0) == "1970-01-01 00:00:00 UTC" and exact(None) == exact(1 << 62) == ""
