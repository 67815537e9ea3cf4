"""The resolver of one node, sans-IO: questions in; answers of our own, of the cache, or of servers out.

    query -> ours, or kept: "reply"
          -> a task (one for all who ask the same) -> "ask" the first server; the next one when it is silent or fails, twice around
             -> answer -> kept, "reply" to all    -> 5 s, or nobody left: SERVFAIL

Each "ask" has a number, an id of its own, and by the adapter a socket of its own, so a port that the kernel chose: who cannot see the
question has to guess 16 bits and a port, within a bounded number of tries (RFC 5452). What does not answer the question is not looked at
any further. A server that was silent comes after the others for a minute. Loops end because the same question is never asked twice at once.

Tasks, askers of a task and servers are bounded; beyond that the answer is SERVFAIL at once.
"""

from skerry_core.dns import message
from skerry_core.dns.cache import Cache
from skerry_core.errors import PeerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from skerry_core.dns.message import Answer, Query
    from skerry_core.dns.names import Names, Server

TASKS, GUESTS, ASKERS = 256, 128, 64  # tasks at all, and when guests may begin none any more
FIRST_WAIT, NEXT_WAIT, WITHIN = 800, 1500, 5000  # ms
ROUNDS = 2
WRONG_LIMIT = 20  # answers that are none, on one socket
SHUNNED = 60_000  # ms
_FAILURES = (message.SERVFAIL, message.NOTIMP, message.REFUSED, message.FORMERR)


class _Ask:
    def __init__(self, task: "_Task", server: "Server", ident: int, tcp: bool, edns: bool) -> None:
        self.task, self.server, self.id, self.tcp, self.edns = task, server, ident, tcp, edns
        self.wrong = 0


class _Task:
    def __init__(self, key: "Any", query: "Query", servers: "list[Server]", now: int) -> None:
        self.key, self.query = key, query
        self.left = servers * ROUNDS
        self.askers: list[tuple[Any, Query, int]] = []
        self.asks: dict[int, _Ask] = {}
        self.next: int | None = now
        self.deadline = now + WITHIN
        self.failed: Answer | None = None  # what a server said that could not answer


class Resolver:
    """`query`, `answered`, `failed` and `handle_timer` in, `actions()` out:

    ("reply", token, data)                  to whoever asked
    ("ask", number, server, tcp, data)      `data` without TCP's length in front; answered(number, data) or failed(number) come back
    ("drop", number)                        nothing is expected from it any more
    """

    def __init__(self, random: "Callable[[int], bytes]") -> None:
        self._random = random
        self._names: Names | None = None
        self.cache = Cache()
        self._tasks: dict[Any, _Task] = {}
        self._asks: dict[int, _Ask] = {}
        self._count = 0
        self._silent: dict[Server, int] = {}  # until when it comes last
        self._actions: list[tuple[Any, ...]] = []
        self.counts = {"queries": 0, "own": 0, "cached": 0, "forwarded": 0, "failed": 0, "refused": 0, "wrong": 0}

    def use(self, names: "Names") -> None:
        """Answer and ask by these from now on."""
        before, self._names = self._names, names
        if before is None or (before.routes, before.default) != (names.routes, names.default):
            self.cache.clear()
            self._silent = {}

    def actions(self) -> "list[tuple[Any, ...]]":
        """What to do now, in order; each is given once."""
        actions, self._actions = self._actions, []
        return actions

    def next_timer(self) -> "int | None":
        """When handle_timer() is to be called."""
        times = [at for task in self._tasks.values() for at in (task.next, task.deadline) if at is not None]
        return min(times) if times else None

    # questions

    def query(self, token: "Any", data: bytes, tcp: bool, now: int, guest: bool = False) -> bool:
        """A question that came in, a `guest`'s from a peer. False: it is none, and nothing will be said."""
        try:
            query = message.parse_query(data)
        except PeerError:
            self.counts["refused"] += 1
            return False
        self.counts["queries"] += 1
        room = message.LARGEST if tcp else query.room
        refused = query.refused or (message.REFUSED if 251 <= query.type <= 254 else message.NOERROR)  # transfers
        if refused or self._names is None:
            self._own(token, query, refused or message.SERVFAIL, [], [], False, room)
            return True
        own = self._names.answer(query)
        if guest and not self._names.for_guests(query):
            self._own(token, query, message.REFUSED, [], [], False, room)
        elif own is not None:
            self.counts["own"] += 1
            self._own(token, query, own[0], own[1], own[2], True, room)
        else:
            self._elsewhere(token, query, room, guest, now)
        return True

    def _own(self, token: "Any", query: "Query", rcode: int, answers: "Any", authority: "Any", sure: bool, room: int) -> None:
        self._actions.append(("reply", token, message.reply(query, rcode, answers, authority, sure, room)))

    def _elsewhere(self, token: "Any", query: "Query", room: int, guest: bool, now: int) -> None:
        assert self._names is not None
        flags = query.flags & message.CD | (message.DO if query.dnssec else 0)
        key = (query.name, query.type, query.klass, flags)
        kept = self.cache.get(key, now)
        if kept is not None:
            self.counts["cached"] += 1
            self._actions.append(("reply", token, message.relayed(query, kept[0], kept[1], room)))
            return
        task = self._tasks.get(key)
        if task is None:
            servers = self._ordered(self._names.servers(query.name), now)
            if not servers or len(self._tasks) >= (GUESTS if guest else TASKS):
                self._fail(token, query, room)
                return
            task = self._tasks[key] = _Task(key, query, servers, now)
            self.counts["forwarded"] += 1
        if len(task.askers) >= ASKERS:
            self._fail(token, query, room)
            return
        task.askers.append((token, query, room))
        if not task.asks:
            self._ask_next(task, now)

    def _fail(self, token: "Any", query: "Query", room: int) -> None:
        self.counts["failed"] += 1
        self._own(token, query, message.SERVFAIL, [], [], False, room)

    def _ordered(self, servers: "list[Server]", now: int) -> "list[Server]":
        good = [each for each in servers if self._silent.get(each, now) <= now]
        return good + [each for each in servers if each not in good]

    # asking

    def _ask_next(self, task: _Task, now: int) -> None:
        if not task.left:
            task.next = None
            if not task.asks:
                self._end(task, task.failed, now)
            return
        server, task.left = task.left[0], task.left[1:]
        self._ask(task, server, False, True)
        task.next = now + (NEXT_WAIT if len(task.asks) > 2 else FIRST_WAIT)

    def _ask(self, task: _Task, server: "Server", tcp: bool, edns: bool) -> None:
        self._count += 1
        number, ident = self._count, int.from_bytes(self._random(2), "big")
        self._asks[number] = task.asks[number] = _Ask(task, server, ident, tcp, edns)
        flags = message.RD | task.query.flags & (message.CD | message.AD)
        question = task.query.name + task.query.question[-4:]
        self._actions.append(("ask", number, server, tcp, message.query(ident, question, flags, edns, task.query.dnssec)))

    def _forget(self, number: int) -> "_Ask | None":
        ask = self._asks.pop(number, None)
        if ask is not None:
            del ask.task.asks[number]
            self._actions.append(("drop", number))
        return ask

    def answered(self, number: int, data: bytes, now: int) -> None:
        """Something came back on that ask's socket."""
        ask = self._asks.get(number)
        if ask is None:
            return
        task = ask.task
        try:
            answer = message.parse_answer(data, ask.id, task.query.name + task.query.question[-4:])
        except PeerError:
            self.counts["wrong"] += 1
            ask.wrong += 1
            if ask.wrong >= WRONG_LIMIT or ask.tcp:
                self.failed(number, now)
            return
        self._forget(number)
        if answer.truncated and not ask.tcp:
            self._ask(task, ask.server, True, ask.edns)
        elif answer.rcode == message.FORMERR and ask.edns:
            self._ask(task, ask.server, ask.tcp, False)  # a server from before EDNS
        elif answer.rcode in _FAILURES or answer.truncated:
            task.failed = task.failed or answer
            self._ask_next(task, now)
        else:
            self._silent.pop(ask.server, None)
            self.cache.put(task.key, answer, now)
            self._end(task, answer, now)

    def failed(self, number: int, now: int) -> None:
        """That ask cannot be answered: refused, unreachable, closed."""
        ask = self._forget(number)
        if ask is not None:
            self._shun(ask.server, now)
            self._ask_next(ask.task, now)

    def _shun(self, server: "Server", now: int) -> None:
        if len(self._silent) < TASKS:
            self._silent[server] = now + SHUNNED

    def _end(self, task: _Task, answer: "Answer | None", now: int) -> None:
        for number in list(task.asks):
            self._forget(number)
        self._tasks.pop(task.key, None)
        for token, query, room in task.askers:
            if answer is None:
                self._fail(token, query, room)
            else:
                self._actions.append(("reply", token, message.relayed(query, answer, 0, room)))

    def handle_timer(self, now: int) -> None:
        """Ask others where servers are silent; give up."""
        for task in list(self._tasks.values()):
            if now >= task.deadline:
                for ask in task.asks.values():
                    self._shun(ask.server, now)
                self._end(task, task.failed, now)
            elif task.next is not None and now >= task.next:
                for ask in task.asks.values():
                    self._shun(ask.server, now)
                self._ask_next(task, now)
