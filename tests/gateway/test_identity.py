"""Sign-in links and sessions: single use, ends, what is stored."""

import threading

import pytest

from skerry_gateway.identity import ABSOLUTE_MS, IDLE_MS, LINK_MS, Identity
from skerry_gateway.store import Store, queries
from tests.gateway.control_bench import WALL, Gateway, Random


@pytest.fixture
def identity():
    return Gateway().coordinator.identity


def test_the_owners_link_signs_in_once(identity):
    name, token = identity.ensure_owner(WALL)
    assert name == "owner" and identity.peek_link(token, WALL).role == "owner" and identity.peek_link(token, WALL)
    session, user = identity.sign_in(token, WALL)
    assert user.name == "owner" and identity.session(session, WALL).id == user.id
    assert identity.sign_in(token, WALL) is None and identity.peek_link(token, WALL) is None
    assert identity.ensure_owner(WALL) is None


def test_only_the_newest_owner_link_works(identity):
    first, second = identity.ensure_owner(WALL)[1], identity.ensure_owner(WALL)[1]
    assert first != second and identity.sign_in(first, WALL) is None and identity.sign_in(second, WALL)


def test_links_end(identity):
    token = identity.create_link(1, WALL)
    assert identity.peek_link(token, WALL + LINK_MS - 1) and identity.peek_link(token, WALL + LINK_MS) is None
    assert identity.sign_in(token, WALL + LINK_MS) is None
    assert identity.sign_in(identity.create_link(1, WALL, 1000), WALL + 999)


def test_sessions_end_when_idle_and_in_any_case(identity):
    session, _ = identity.sign_in(identity.create_link(1, WALL), WALL)
    assert identity.session(session, WALL + IDLE_MS - 1)
    at = WALL + IDLE_MS - 1
    while at + IDLE_MS // 2 < WALL + ABSOLUTE_MS:
        at += IDLE_MS // 2
        assert identity.session(session, at)
    assert identity.session(session, WALL + ABSOLUTE_MS) is None
    other, _ = identity.sign_in(identity.create_link(1, WALL), WALL)
    assert identity.session(other, WALL + IDLE_MS) is None
    assert identity.session(other, WALL + 1) is None  # ended for good, even if the clock goes back


def test_sign_out_and_ending_all(identity):
    one, two = (identity.sign_in(identity.create_link(1, WALL), WALL)[0] for _ in range(2))
    identity.sign_out(one)
    assert identity.session(one, WALL) is None and identity.session(two, WALL)
    identity.end_sessions(1)
    assert identity.session(two, WALL) is None


@pytest.mark.parametrize("token", ["", "x", "x" * 43, "\u2603" * 43, "x" * 10_000])
def test_other_texts_are_nobody(identity, token):
    assert identity.session(token, WALL) is None and identity.sign_in(token, WALL) is None and identity.peek_link(token, WALL) is None


def test_removed_users_have_no_sessions_and_no_links():
    gateway = Gateway()
    identity = gateway.coordinator.identity
    user = gateway.call("users create", name="ana")["user"]
    link = identity.create_link(user["id"], WALL)
    session, _ = identity.sign_in(identity.create_link(user["id"], WALL), WALL)
    gateway.call("users remove", name="ana")
    assert identity.session(session, WALL) is None and identity.sign_in(link, WALL) is None


def test_no_secret_is_stored(tmp_path):
    gateway = Gateway(Store.open(f"sqlite:///{tmp_path}/gateway.db"))
    identity = gateway.coordinator.identity
    link = identity.create_link(1, WALL)
    session, _ = identity.sign_in(identity.create_link(1, WALL), WALL)
    key = gateway.key()
    gateway.store.close()
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for secret in (link, session, key):
        assert secret.removeprefix("skey-").encode() not in stored and queries.digest(secret).encode() in stored


def test_a_link_lets_one_of_many_in(tmp_path):
    store = Store.open(f"sqlite:///{tmp_path}/gateway.db")
    token = Gateway(store).coordinator.identity.create_link(1, WALL)
    start, won = threading.Barrier(12), []

    def race(number):
        identity = Identity(store, 1, Random(str(number).encode()))
        start.wait()
        won.append(identity.sign_in(token, WALL + 1))

    threads = [threading.Thread(target=race, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 12 and sum(found is not None for found in won) == 1
    store.close()


def test_a_clock_set_back_does_not_lengthen_a_session(identity):
    token, _ = identity.sign_in(identity.create_link(1, WALL), WALL)
    assert identity.session(token, WALL - 30_000) is not None
    assert identity.session(token, WALL - 86400_000) is None and identity.session(token, WALL) is None
