"""The ssh rules of one node as its client takes them: tailcfg SSHPolicy.Rules.

A check rule holds the connection and asks this gateway, at the address below, what becomes of it.
"""

from collections import defaultdict
from typing import Any

from .compiled import Compiled
from .people import local_part
from .ssh import DEFAULT_CHECK_MS, SSHRule

CHECK_PATH = "/machine/ssh/action/"
# the client replaces the names behind $; the host is not used, the request comes through its Noise connection
_CHECK_URL = f"https://unused{CHECK_PATH}$SRC_NODE_ID/to/$DST_NODE_ID?ssh_user=$SSH_USER&local_user=$LOCAL_USER"
ACCEPT = {"accept": True, "allowAgentForwarding": True, "allowLocalPortForwarding": True, "allowRemotePortForwarding": True}


def check_period(at: Compiled, source: int, node_id: int, login: str) -> int | None:
    """How long (ms) a confirmation counts for this login, by the first check rule that has it; None: no check rule has."""
    for rule in at.policy.ssh:
        if rule.check and source in at.ssh_sources(rule, node_id) and local_account(at, rule, source, login):
            return DEFAULT_CHECK_MS if rule.check_ms is None else rule.check_ms
    return None


def local_account(at: Compiled, rule: SSHRule, source: int, login: str) -> str:
    """The local account that a rule gives a login; "" when it gives none (a client then looks at the next rule)."""
    users = dict(rule.users)
    if login in users:
        return users[login]
    user = at.members[source].user
    local = (user.email or user.name).partition("@") if user is not None else ("", "", "")
    if local[0] == login and local[2] in rule.local_domains:
        return login
    return login if "*" in users else ""


def ssh_rules(at: Compiled, node_id: int) -> list[dict[str, Any]]:
    """Check rules first, then accept rules, each kind in the file's order."""
    found = []
    for rule in sorted(at.policy.ssh, key=lambda rule: not rule.check):
        for sources, users in _mapped(at, rule, sorted(at.ssh_sources(rule, node_id))):
            found.append(_rule(at, rule, sources, users))
    return found


def _mapped(at: Compiled, rule: SSHRule, sources: list[int]) -> list[tuple[list[int], dict[str, str]]]:
    """The sources with the logins they have: all in common, or each person's with the local part of the address."""
    common = dict(rule.users)
    if not rule.local_domains or not sources:
        return [(sources, common)] if sources else []
    by_person: defaultdict[int | None, list[int]] = defaultdict(list)
    for node_id in sources:
        user = at.members[node_id].user
        by_person[None if user is None else user.id].append(node_id)
    found = []
    for person, nodes in by_person.items():
        found.append((nodes, common))
        user = at.members[nodes[0]].user
        if person is not None and user is not None and (user.email or user.name).partition("@")[2] in rule.local_domains:
            found.append((nodes, {local_part(user): local_part(user)}))
    return found


def _rule(at: Compiled, rule: SSHRule, sources: list[int], users: dict[str, str]) -> dict[str, Any]:
    addresses = [text for i in sources for text in (at.members[i].node.ipv4, at.members[i].node.ipv6) if text]
    return {
        "principals": [{"nodeIP": text} for text in addresses],
        "sshUsers": users,
        **({"acceptEnv": list(rule.accept_env)} if rule.accept_env else {}),
        "action": {"holdAndDelegate": _CHECK_URL} if rule.check else ACCEPT,
    }
