"""Enrolment: POST /machine/register and the sign-in pages people finish, on top of the network's changes.

The rules are registration.py's; here they meet the connection that asks, the person who decides and the node that comes of it.
"""

from typing import Any

from skerry_core.errors import LocalError
from skerry_core.tailcfg.keys import encode_key
from skerry_gateway.policy.logins import ACCEPT, CHECK_PATH
from skerry_gateway.store import Node, queries

from . import hostinfo, registration, sshcheck, wire
from .changes import EPHEMERAL_MS, Changes
from .hostinfo import Live
from .refused import AdminError
from .registration import Claim, SignIn, SignIns
from .session import Session
from .sshcheck import Login, SSHChecks
from .twins import ANSWER, mark_of

_SURE = 2


class Enrolment(Changes):
    """`url` is where people find the sign-in pages."""

    url = ""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.sign_ins = SignIns()
        self.ssh_checks = SSHChecks()

    def set_url(self, url: str) -> None:
        self.url = url.rstrip("/")

    def pending(self, token: str, now: int) -> dict[str, Any] | None:
        """The machine that waits at the sign-in page with that token."""
        item = self.sign_ins.get(token, self.wall(now))
        return None if item is None or item.declined else waiting(item)

    # the person

    def authorize(self, token: str, user_id: int, now: int) -> Node:
        """A person let the waiting machine in. AdminError: too late, declined, or tags that are not theirs."""
        wall = self.wall(now)
        item, user = self.sign_ins.get(token, wall), self.members.users.get(user_id)
        if item is None or item.declined:
            raise AdminError("this sign-in is no longer open: start it again on the device")
        if user is None:
            raise AdminError("the user no longer exists: sign in again")
        admission = registration.by_person(self.members, user, item.claim, wall)
        with self.store.write() as c:
            node = registration.admit(c, self.members.network.id, item.claim, admission, self._stable_id(), wall)
            queries.record(c, self.members.network.id, wall, user.name, "sign-in approve", {"node": node.name})
        self.sign_ins.remove(token)
        self._admitted(node, item.claim, now)
        self._answer_waiters(item, wire.registered(node, self.members.user_of(node), self.members.network, False))
        return self.members.nodes[node.id]

    def decline(self, token: str, now: int) -> None:
        """A person refused the waiting machine."""
        item = self.sign_ins.remove(token)
        if item is not None:
            self._answer_waiters(item, {"Error": "the sign-in was declined"})

    def ssh_login(self, token: str, user_id: int, now: int) -> Login:
        """A login that waits for this person. AdminError: it is over, or somebody else's."""
        found = self.ssh_checks.get(token, self.wall(now))
        if found is None or found.decided is not None:
            raise AdminError("this login no longer waits: start it again")
        if found.source.user_id != user_id:
            raise AdminError(f"only the owner of {found.source.name} can decide this")
        return found

    def decide_ssh(self, token: str, user_id: int, approve: bool, now: int) -> Login:
        """The person let a login in, or refused it."""
        login, wall = self.ssh_login(token, user_id, now), self.wall(now)
        with self.store.write() as c:
            verb = "ssh approve" if approve else "ssh refuse"
            detail = {"from": login.source.name, "to": login.target.name, "login": login.login}
            queries.record(c, self.members.network.id, wall, self.members.users[user_id].name, verb, detail)
        self.ssh_checks.decide(login, approve, wall)
        waiters, login.waiters = login.waiters, []
        for session, stream, _ in waiters:
            session.respond(stream, 200, wire.dumps(sshcheck.outcome(login)))
            self._ready[session] = None
        return login

    def _ssh_action(self, session: Session, stream: int, path: str, now: int) -> None:
        answer = self._ssh_answer(session, stream, path, now)
        if answer is not None:
            session.respond(stream, 200, wire.dumps(answer))

    def _ssh_answer(self, session: Session, stream: int, path: str, now: int) -> dict[str, Any] | None:
        """A tailcfg SSHAction; None while the person decides."""
        target, wall = self.members.of_machine(session.machine_key), self.wall(now)
        where, _, token = path.partition("?")[0].removeprefix(CHECK_PATH).partition("/")
        if where == "wait":
            login = self.ssh_checks.get(token, wall)
            if login is None or target is None or login.target.id != target.id:
                return sshcheck.refused("This login is over: start it again.")
            if login.decided is None:
                login.waiters = [*login.waiters[-3:], (session, stream, now)]
                self._timers.add(now + sshcheck.WAIT_MS, self._ssh_again)
                return None
            return sshcheck.outcome(login)
        asked = sshcheck.parse_action(path)
        source = self.members.nodes.get(asked[0]) if asked else None
        if asked is None or source is None or target is None or asked[1] != target.id:
            return sshcheck.refused("The gateway does not know these nodes.")
        return self._check_login(source, target, asked[2], wall)

    def _check_login(self, source: Node, target: Node, name: str, wall: int) -> dict[str, Any]:
        period = sshcheck.needed(self.members.compiled, source, target, name)
        if period is None:
            return sshcheck.refused("The policy does not allow this login.")
        if source.user_id is None:
            return sshcheck.refused(f"{source.name} belongs to its tags: nobody can confirm the login.")
        if self.ssh_checks.confirmed(source, target, period, wall):
            return dict(ACCEPT)
        login = Login(self.identity.token(), source, target, name, wall + sshcheck.LIFE_MS)
        self.ssh_checks.add(login, wall)
        return sshcheck.held(login, self.url)

    def _ssh_again(self, now: int) -> None:
        for login, session, stream in self.ssh_checks.overdue(now):
            session.respond(stream, 200, wire.dumps(sshcheck.asked_again(login)))
            self._ready[session] = None

    def _answer_waiters(self, item: SignIn, answer: dict[str, Any]) -> None:
        for session, stream in item.waiters:
            session.respond(stream, 200, wire.dumps(answer))
            self._ready[session] = None
        item.waiters = []

    def _admitted(self, node: Node, claim: Claim, now: int) -> None:
        self.live.setdefault(node.id, Live()).introduce(claim.info)
        if node.ephemeral and node.id not in self.maps.streams:
            self._timers.add(now + EPHEMERAL_MS, self._drop_ephemeral, node.id)
        self.commit([node], [], now)

    # the machine

    def _register(self, session: Session, stream: int, body: dict[str, Any], now: int) -> None:
        known = self.members.of_machine(session.machine_key)
        if known is not None and self.twins.is_copy(known.id, mark_of(body)):
            session.respond(stream, 409, ANSWER)
            return
        try:
            answer = self._registered(session, stream, body, now)
        except LocalError as error:  # refused, or no address is free
            answer = {"Error": str(error)}
        if answer is not None:
            session.respond(stream, 200, wire.dumps(answer))

    def _registered(self, session: Session, stream: int, body: dict[str, Any], now: int) -> dict[str, Any] | None:
        """The answer, or None while a person decides. The order of the tests is that of registration.py."""
        wall = self.wall(now)
        claim = registration.parse_claim(session, body)
        node = self.members.of_machine(session.machine_key)
        same = node is not None and node.node_key == claim.node_key
        if registration.expiry(body, wall):
            return self._log_out(node if same else None, now)
        if node is not None and same and not node.expired(wall):
            return self._welcome(node, claim, now)
        followup = body.get("Followup")
        if isinstance(followup, str) and followup:
            return self._wait(session, stream, followup, claim, now)
        auth = body.get("Auth")
        text = auth.get("AuthKey") if isinstance(auth, dict) else None
        if isinstance(text, str) and text:
            return self._use_key(text[:200], claim, now)
        if node is not None and same:
            return wire.registered(node, self.members.user_of(node), self.members.network, True)
        return self._ask_person(session, claim, now)

    def _log_out(self, node: Node | None, now: int) -> dict[str, Any]:
        if node is not None and node.ephemeral:
            self.remove_node(node.id, node.name, "log out", now)
        elif node is not None and not node.expired(self.wall(now)):
            self.change_node(node.id, node.name, "log out", now, expires_ms=self.wall(now))
        return {"NodeKeyExpired": True, "MachineAuthorized": False}

    def _welcome(self, node: Node, claim: Claim, now: int) -> dict[str, Any]:
        if claim.info:
            self._introduce(node, claim.info, claim.version, now)
        node = self.members.nodes[node.id]
        return wire.registered(node, self.members.user_of(node), self.members.network, False)

    def _introduce(self, node: Node, info: dict[str, Any], version: int, now: int) -> None:
        self.live[node.id].introduce(info)
        if registration.introduces(node, info, version):
            with self.store.write() as c:
                changed = registration.introduce(c, node, info, version)
            self.commit([changed], [], now)
        else:
            self.maps.touch(node.id)

    def _use_key(self, text: str, claim: Claim, now: int) -> dict[str, Any]:
        wall, network_id = self.wall(now), self.members.network.id
        with self.store.write() as c:  # checked, burnt and used in one transaction: of two machines one gets in
            key = registration.burn(c, network_id, text, wall)
            admission = registration.by_key(self.members, key, claim, wall)
            node = registration.admit(c, network_id, claim, admission, self._stable_id(), wall)
            queries.record(c, network_id, wall, f"key {key.id}", "node join", {"node": node.name, "key": key.id})
        self._admitted(node, claim, now)
        return wire.registered(node, self.members.user_of(node), self.members.network, False)

    def _ask_person(self, session: Session, claim: Claim, now: int) -> dict[str, Any]:
        wall = self.wall(now)
        item = self.sign_ins.of(claim, wall)
        if item is None:
            item = SignIn(self.identity.token(), claim, wall + registration.SIGN_IN_MS, session.host)
            for gone in self.sign_ins.add(item):
                self._answer_waiters(gone, {"Error": "another sign-in took the place of this one"})
            self._timers.add(now + registration.SIGN_IN_MS + _SURE, self._sweep_sign_ins)
        return {"AuthURL": f"{self.url}/register/{item.token}", "MachineAuthorized": False}

    def _wait(self, session: Session, stream: int, followup: str, claim: Claim, now: int) -> dict[str, Any] | None:
        item = self.sign_ins.get(followup.rpartition("/")[2], self.wall(now))
        same = item is not None and (item.claim.machine_key, item.claim.node_key) == (claim.machine_key, claim.node_key)
        if item is None or not same:
            return self._ask_person(session, claim, now)
        item.waiters = [*item.waiters[-7:], (session, stream)]
        return None

    def _sweep_sign_ins(self, now: int) -> None:
        for item in self.sign_ins.expired(self.wall(now)):
            waiters, item.waiters = item.waiters, []
            for session, stream in waiters:
                session.respond(stream, 200, wire.dumps(self._ask_person(session, item.claim, now)))
                self._ready[session] = None

    def _stable_id(self) -> str:
        return "n" + self._random(9).hex()


def waiting(item: SignIn) -> dict[str, Any]:
    """A machine at a sign-in page, for people."""
    claim = item.claim
    said = {"hostname": claim.hostname, "os": hostinfo.text(claim.info.get("OS"), 32), "tags": list(claim.tags)}
    return {**said, "machine_key": encode_key("mkey", claim.machine_key), "code": item.code, "expires_ms": item.expires_ms}
