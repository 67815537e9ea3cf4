"""Our nftables table `inet skerry`, and what of others' tables stands in its way.

The table has one chain: what comes out of the tunnel and goes on elsewhere gets this host's address (masquerade), so that the hosts there
know where to answer. It is put in place and taken away as a whole; nothing of anybody else is touched. Accepting a packet here does not
help it past a chain of somebody else that drops it (netfilter asks every one), so `obstacles()` looks for such and says what to do, in
the words of the program that made them: Docker, ufw and firewalld each have a place for rules of others.

`nft` is asked, not the kernel: its language is stable, and this happens only on a node that offers routes.
"""

import json

from skerry_core.errors import LocalError

from . import spawn
from .interface import text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .netlink import Prefix

TABLE = "inet skerry"
LISTS = (("ip", 4), ("ip6", 16))


def script(tun: str, unchanged: "list[Prefix]") -> str:
    """For nft: what comes from `tun` is masqueraded, but not on its way to the `unchanged` prefixes."""
    lines = []
    for family, size in LISTS:
        prefixes = sorted(prefix for prefix in unchanged if len(prefix[0]) == size)
        if prefixes:
            found = ", ".join(text(prefix) for prefix in prefixes)
            lines.append(f'    iifname "{tun}" {family} daddr {{ {found} }} accept')
    lines.append(f'    iifname "{tun}" oifname != "{tun}" masquerade')
    head = "    type nat hook postrouting priority srcnat; policy accept;"
    anew = [f"add table {TABLE}", f"delete table {TABLE}", f"table {TABLE} {{", "  chain postrouting {"]
    return "\n".join([*anew, head, *lines, "  }", "}", ""])


def put(tun: str, unchanged: "list[Prefix]") -> None:
    """Have the table. LocalError: it cannot be had."""
    _nft(script(tun, unchanged))


def remove() -> None:
    """Have no table. LocalError: it cannot be removed."""
    if spawn.find("nft"):
        _nft(f"add table {TABLE}\ndelete table {TABLE}\n")


def _nft(commands: str) -> None:
    if not spawn.find("nft"):
        raise LocalError("nft is missing, so what comes out of the tunnel keeps its address: install the package nftables")
    status, _, errors = spawn.run(("nft", "-f", "-"), commands)
    if status:
        raise LocalError(f"nft refused the table {TABLE}: {errors.strip().splitlines()[0] if errors.strip() else status}")


def obstacles(tun: str) -> "list[str]":
    """Chains of others that drop what is forwarded from or to `tun`, one sentence each with what to do; [] also when nft cannot tell."""
    try:
        status, output, _ = spawn.run(("nft", "-j", "list", "ruleset"))
        found = json.loads(output)["nftables"] if not status else []
    except (LocalError, ValueError, KeyError):
        return []
    return blocking(found, tun)


def blocking(ruleset: "list[dict[str, Any]]", tun: str) -> "list[str]":
    """The same of nft's JSON."""
    chains = [item["chain"] for item in ruleset if "chain" in item]
    rules = [item["rule"] for item in ruleset if "rule" in item]
    said: dict[str, None] = {}
    for chain in chains:
        place = (chain["family"], chain["table"])
        if chain.get("hook") != "forward" or place == ("inet", "skerry") or not _closed(chain, rules):
            continue
        names = {each["name"] for each in chains if (each["family"], each["table"]) == place}
        own = [rule for rule in rules if (rule["family"], rule["table"]) == place]
        if not all(_lets(own, key, tun) for key in ("iifname", "oifname")[: 1 if "firewalld" in place[1] else 2]):
            said[_remedy(place, chain["name"], names, tun)] = None
    return list(said)


def _closed(chain: "dict[str, Any]", rules: "list[dict[str, Any]]") -> bool:
    """Whether it refuses what none of its rules lets: by its policy, or as firewalld does by its last rule."""
    if chain.get("policy") == "drop":
        return True
    own = [rule for rule in rules if all(rule[key] == chain[key] for key in ("family", "table")) and rule["chain"] == chain["name"]]
    last = own[-1]["expr"] if own else []
    return any("drop" in each or "reject" in each for each in last) and not any("match" in each for each in last)


def _lets(rules: "list[dict[str, Any]]", key: str, tun: str) -> bool:
    """Whether one of the rules names the device on that side and lets the packet go on."""
    for rule in rules:
        names = any(_names(each.get("match"), key, tun) for each in rule["expr"])
        way = [each for each in rule["expr"] if "accept" in each or "trusted" in str(each.get("goto") or each.get("jump") or "")]
        if names and way:
            return True
    return False


def _names(match: "dict[str, Any] | None", key: str, tun: str) -> bool:
    if not match or match.get("op") != "==" or match["left"] != {"meta": {"key": key}}:
        return False
    right = match["right"]
    return tun == right or (isinstance(right, str) and right.endswith("*") and tun.startswith(right[:-1]))


def _remedy(place: "tuple[str, str]", chain: str, names: "set[str]", tun: str) -> str:
    family, table = place
    if "firewalld" in table:
        who, do = "firewalld", f"firewall-cmd --permanent --zone=trusted --add-interface={tun} && firewall-cmd --reload"
    elif any(name.startswith("ufw") for name in names):
        who, do = "ufw", f"ufw route allow in on {tun} && ufw route allow out on {tun}"
    elif any(name.startswith("DOCKER") for name in names):
        tool, place_of_ours = "ip6tables" if family == "ip6" else "iptables", "DOCKER-USER" if "DOCKER-USER" in names else chain
        who, do = "Docker", " && ".join(f"{tool} -I {place_of_ours} -{way} {tun} -j ACCEPT" for way in "io")
    else:
        who = f"the chain {chain} of the table {family} {table}"
        do = " && ".join(f"nft insert rule {family} {table} {chain} {key} {tun} accept" for key in ("iifname", "oifname"))
    return f"{who} drops what this node forwards for its routes; let it through with: {do}"
