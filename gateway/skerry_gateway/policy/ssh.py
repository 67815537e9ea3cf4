"""Who may log in where: the `ssh` section, and the rules of one node as its client takes them (tailcfg SSHPolicy).

A check rule makes the client ask this gateway, which makes the person sign in again; it goes before accept rules. Whether a login
gets through is decided by the first rule whose principals have the source and whose users have the login.
"""

import re
from dataclasses import dataclass
from typing import Any

from .hujson import Place, PolicyError
from .reading import Reader, shown
from .targets import Target

_SOURCES = ("tag", "group", "user", "domain", "member", "tagged", "owner", "admin")
_DESTINATIONS = ("tag", "user", "self", "member", "tagged", "owner", "admin")
_NAMES = ("action", "src", "dst", "users", "checkPeriod", "acceptEnv")
_LOCALPART = re.compile(r"localpart:\*@([A-Za-z0-9.-]{1,190})\Z")
_DURATION = re.compile(r"(-?\d{1,9}(?:\.\d{1,9})?)(h|m|s|ms)")
_MS = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
DEFAULT_CHECK_MS = 12 * _MS["h"]
MAX_CHECK_MS = 168 * _MS["h"]


@dataclass(frozen=True, slots=True)
class SSHRule:
    place: str
    sources: tuple[Target, ...]
    destinations: tuple[Target, ...]
    users: tuple[tuple[str, str], ...]  # the common map of logins
    local_domains: tuple[str, ...]  # whose users may log in under the local part of their address
    check: bool
    check_ms: int | None  # how long a sign-in counts; 0 asks each time, None is the default
    accept_env: tuple[str, ...]


def read_ssh(reader: Reader, place: Place, name: str, data: dict[str, Any]) -> SSHRule:
    reader.only(place, data, _NAMES)
    action = data.get("action")
    action = action.strip() if isinstance(action, str) else action
    if action not in ("accept", "check"):
        reader.fail((*place, "action"), f'action is "accept" or "check", found {shown(data.get("action"))}')
    words = "a user, group, tag or autogroup"
    sources = tuple(reader.target(where, text, _SOURCES, words) for where, text in reader.texts(place, data, "src"))
    destinations = tuple(_destination(reader, where, text, sources) for where, text in reader.texts(place, data, "dst"))
    logins, domains = _users(reader, place, data)
    period = _check_period(reader, (*place, "checkPeriod"), data) if "checkPeriod" in data else None
    if "checkPeriod" in data and action == "accept":
        reader.fail((*place, "checkPeriod"), 'only a rule with the action "check" has a checkPeriod')
    return SSHRule(name, sources, destinations, logins, domains, action == "check", period, _accept_env(reader, place, data))


def _destination(reader: Reader, place: Place, text: str, sources: tuple[Target, ...]) -> Target:
    if text.strip() in reader.names.hosts:
        reader.fail(place, f'"{text}" cannot stand here: expected a user, tag or autogroup, not a name of hosts')
    found = reader.target(place, text, _DESTINATIONS, "a user, tag, autogroup:self, member or tagged")
    others = [source.name for source in sources if source != found]
    if found.kind == "user" and others:
        reader.fail(place, f'"{text}": only the same user may log in to the devices of a user, not "{others[0]}"')
    wrong = [source.name for source in sources if source.kind in ("tag", "tagged")]
    if found.kind == "self" and wrong:
        reader.fail(place, f'"autogroup:self" needs people as sources, not "{wrong[0]}"')
    return found


def _users(reader: Reader, place: Place, data: dict[str, Any]) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    texts = reader.texts(place, data, "users")
    if not texts:
        reader.fail((*place, "users"), "a list of at least one login")
    found: dict[str, str] = {"root": ""}
    domains = []
    for where, text in texts:
        login = text.strip()
        match = _LOCALPART.match(login)
        if login in ("", "*"):
            reader.fail(where, f'"{text}" is no login: write each, or "autogroup:nonroot" for all but root')
        elif match:
            domains.append(match.group(1))
        elif login == "autogroup:nonroot":
            found["*"] = "="
        else:
            found[login] = login
    return tuple(found.items()), tuple(dict.fromkeys(domains))


def _check_period(reader: Reader, place: Place, data: dict[str, Any]) -> int | None:
    value = data["checkPeriod"]
    if value is None or value == "always":
        return None if value is None else 0
    found = reader.at(place, parse_duration, value) if isinstance(value, str) else -1
    if not 0 <= found <= MAX_CHECK_MS:
        reader.fail(place, f'{shown(value)} is no time from 0 to 168h, nor "always"')
    return found


def parse_duration(text: str) -> int:
    """Milliseconds of a text such as 1h30m. PolicyError when it is none."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise PolicyError(f'"{text}" is no time: expected hours, minutes, seconds, such as 12h or 1h30m')
    return int(sum(float(number) * _MS[unit] for number, unit in parts))


def _accept_env(reader: Reader, place: Place, data: dict[str, Any]) -> tuple[str, ...]:
    found = []
    for where, text in reader.texts(place, data, "acceptEnv", needed=False):
        if not text:
            reader.fail(where, "an empty text is no name of a variable")
        found.append(text)
    return tuple(found)
