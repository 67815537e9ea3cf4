"""The network's DNS settings: what an administrator may set, and the DNSConfig that nodes are told.

Kept with the network as {magic: bool, nameservers: [address], routes: {domain: [address]}, search: [domain], records: [{name, value}]};
what is absent has its default. An address is IPv4 or IPv6, perhaps with a port behind it (`192.0.2.1:5353`, `[2001:db8::1]:5353`).

    Proxied        MagicDNS: nodes' names are answered by each node itself
    Domains        search domains, the base domain first
    Resolvers      for everything that nothing else answers; [] = what the node's own network gave it
    Routes         domain -> resolvers; [] = ExtraRecords alone: so a record outside of the base domain comes to the node's resolver at all
    ExtraRecords   {Name, Type "" (by the value), Value}
"""

from ipaddress import ip_address
from typing import Any

from skerry_gateway.store import Network

from .hostinfo import is_label
from .refused import AdminError

LIMITS = {"nameservers": 16, "routes": 100, "search": 16, "records": 500}
_OURS = ("100.100.100.100", "fd7a:115c:a1e0::53")  # every node's own resolver
_DEFAULTS: dict[str, Any] = {"magic": True, "nameservers": [], "routes": {}, "search": [], "records": []}


def settings(network: Network) -> dict[str, Any]:
    """All of them, defaults filled in."""
    return {**_DEFAULTS, **network.dns}


def changed(network: Network, given: dict[str, Any]) -> dict[str, Any]:
    """The settings with the given ones in their place: texts as a person writes them. AdminError names what is wrong."""
    for name, limit in LIMITS.items():
        if len(given.get(name, ())) > limit:
            raise AdminError(f"{len(given[name])} {name} are too many: at most {limit}")
    found = dict(network.dns)
    for name, value in given.items():
        found[name] = _READ[name](value)
    return {name: value for name, value in found.items() if value != _DEFAULTS[name]}


def config(network: Network) -> dict[str, Any]:
    """The DNSConfig for every node."""
    known = settings(network)
    found: dict[str, Any] = {"Proxied": known["magic"], "Domains": [network.suffix, *(d for d in known["search"] if d != network.suffix)]}
    if known["nameservers"]:
        found["Resolvers"] = _resolvers(known["nameservers"])
    records = [{"Name": _full(each["name"], network), "Value": each["value"]} for each in known["records"]]
    routes: dict[str, Any] = {domain: _resolvers(servers) for domain, servers in known["routes"].items()}
    for record in records:
        if not record["Name"].endswith("." + network.suffix):
            routes.setdefault(record["Name"], [])
    return {**found, **({"Routes": routes} if routes else {}), **({"ExtraRecords": records} if records else {})}


def _resolvers(addresses: list[str]) -> list[dict[str, str]]:
    return [{"Addr": address} for address in addresses]


def _full(name: str, network: Network) -> str:
    return name if "." in name else f"{name}.{network.suffix}"


# reading


def _nameservers(texts: list[str]) -> list[str]:
    return list(dict.fromkeys(_server(text) for text in texts))


def _server(text: str) -> str:
    host, port = _split(text.strip())
    try:
        address = ip_address(host)
    except ValueError:
        raise AdminError(f'"{text[:60]}" is no nameserver: write its address, such as 192.0.2.53 or 192.0.2.53:5353') from None
    if str(address) in _OURS:
        raise AdminError(f"{address} is each node's own resolver: name the one it is to ask")
    if address.is_unspecified or address.is_multicast:
        raise AdminError(f"{address} is nobody's address")
    if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        raise AdminError(f'"{text[:60]}": "{port[:20]}" is no port: expected 1 to 65535')
    if int(port) == 53:
        return str(address)
    return f"[{address}]:{int(port)}" if address.version == 6 else f"{address}:{int(port)}"


def _split(text: str) -> tuple[str, str]:
    """(address, port) of ADDRESS, ADDRESS:PORT or [ADDRESS6]:PORT."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest.removeprefix(":") if rest else "53"
    host, colon, port = text.partition(":")
    return (host, port) if colon and ":" not in port else (text, "53")


def _domain(text: str) -> str:
    domain = text.strip().lower().strip(".").removeprefix("~")
    if not domain or len(domain) > 190 or not all(is_label(part) or is_label(part.lstrip("_")) for part in domain.split(".")):
        raise AdminError(f'"{text[:60]}" is no domain name')
    return domain


def _pair(text: str, what: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise AdminError(f'"{text[:60]}" is no {what}')
    return _domain(name), value.strip()


def _routes(texts: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text in texts:
        domain, value = _pair(text, "route: write DOMAIN=ADDRESS, such as corp.example=10.0.0.53")
        servers = _nameservers([each for each in value.replace(",", " ").split() if each])
        found[domain] = list(dict.fromkeys([*found.get(domain, []), *servers]))
        if len(found[domain]) > LIMITS["nameservers"]:
            raise AdminError(f"{domain} has more than {LIMITS['nameservers']} nameservers")
    return found


def _records(texts: list[str]) -> list[dict[str, str]]:
    found = []
    for text in texts:
        name, value = _pair(text, "record: write NAME=ADDRESS, such as nas=192.168.10.5")
        try:
            record = {"name": name, "value": str(ip_address(value))}
        except ValueError:
            raise AdminError(f'"{text[:60]}": "{value[:60]}" is no address; records are IPv4 or IPv6 addresses') from None
        if record not in found:
            found.append(record)
    return found


_READ: dict[str, Any] = {
    "magic": bool,
    "nameservers": _nameservers,
    "routes": _routes,
    "search": lambda texts: list(dict.fromkeys(_domain(text) for text in texts)),
    "records": _records,
}
