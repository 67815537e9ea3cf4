"""The command `skerry-gateway`: starts the server, and administers it beside a running server or without one.

Exit codes: 0 done, 1 it could not be done (the reason is on standard error), 2 the command line is wrong. With --json standard output is
one JSON object. `--state DIR` and `--json` may stand anywhere.
"""

import argparse
import json
import logging
import os
import sys
import time
import tomllib
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, NoReturn

from skerry_core.errors import LocalError, PeerError

from .options import Options

_EXAMPLES = """examples:
  skerry-gateway serve                                     a working gateway; prints how to connect
  skerry-gateway serve --url https://vpn.example.org --listen :443 --tls-cert c.pem --tls-key k.pem
  skerry-gateway users create ana
  skerry-gateway users link ana                            a sign-in link that works once
  skerry-gateway keys create --user ana                    a key for one device
  skerry-gateway keys create --user owner --reusable --tag tag:cam --json
  skerry-gateway nodes list
  skerry-gateway nodes remove camera-1
  skerry-gateway routes approve office 192.168.1.0/24      let the node office carry a subnet to the others
  skerry-gateway policy get > policy.hujson                edit it, then:
  skerry-gateway policy set policy.hujson
  skerry-gateway dns set --route corp.example=10.0.0.53 --record nas=192.168.10.5
"""
_ADDRESSES = {"listen": ("", 8080), "stun_listen": ("", 3478)}
_PATHS = ("tls_cert", "tls_key")

Arguments = Callable[[argparse.Namespace], dict[str, Any]]


class _Usage(Exception):
    """The command line is wrong in a way argparse cannot see."""


def default_state() -> Path:
    """/var/lib/skerry-gateway for root, else below the user's own state directory."""
    if os.geteuid() == 0:
        return Path("/var/lib/skerry-gateway")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "skerry-gateway"


def main(argv: list[str] | None = None) -> int:
    """Run the command; its exit code."""
    parser = build_parser()
    args = parser.parse_args(argv)
    as_json = getattr(args, "json", False) or getattr(args, "format", "") == "json"
    try:
        if args.command == "serve":
            return _serve(args)
        return _verb(args, as_json)
    except _Usage as error:
        parser.error(str(error))
    except LocalError as error:
        if as_json:
            print(json.dumps({"error": str(error)}))
        print(f"skerry-gateway: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader has gone; nothing is left to say
        return 1
    except KeyboardInterrupt:
        return 130


# commands


def _serve(args: argparse.Namespace) -> int:
    options = serve_options(args)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    from skerry_gateway.serve.main import run

    return run(options)


def serve_options(args: argparse.Namespace) -> Options:
    """The options of serve: flags first, then the configuration file, then the defaults."""
    file = _read_config(args.config) if args.config else {}
    values: dict[str, Any] = {name: getattr(args, name) if getattr(args, name) is not None else file.get(name) for name in _CONFIG}
    for name, default in _ADDRESSES.items():
        values[name] = parse_listen(name, values[name], default[1]) if values[name] else default
    for name in _PATHS:
        values[name] = Path(values[name]) if values[name] else None
    values["stun_other"] = parse_ipv4("stun_other", values["stun_other"] or "")
    state = getattr(args, "state", None) or (Path(file["state"]) if "state" in file else default_state())
    relays = bool(file.get("udp_relay", True)) if args.udp_relay is None else args.udp_relay
    return Options(state=state, udp_relay=relays, json=getattr(args, "json", False), config=args.config, **values)


_CONFIG = ("url", "listen", "stun_listen", "stun_other", "tls_cert", "tls_key")
_SWITCHES = ("udp_relay",)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(path.read_text())
    except OSError as error:
        raise LocalError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LocalError(f"{path} is not TOML: {error}") from None
    for name, value in found.items():
        if name in _SWITCHES and isinstance(value, bool):
            continue
        if name not in (*_CONFIG, "state") or not isinstance(value, str):
            known = f"there are state, {', '.join(_CONFIG)}, and {', '.join(_SWITCHES)} (true or false)"
            raise LocalError(f'{path}: "{name}" is not a setting with a text; {known}')
    return found


def parse_ipv4(name: str, text: str) -> str:
    """An IPv4 address, or nothing."""
    try:
        return str(IPv4Address(text)) if text else ""
    except ValueError:
        raise LocalError(f"--{name.replace('_', '-')} {text}: expected another IPv4 address of this machine, such as 192.0.2.2") from None


def parse_listen(name: str, text: str, default_port: int) -> tuple[str, int]:
    """ADDR:PORT, :PORT, PORT, ADDR or [ADDR6]:PORT."""
    flag = "--" + name.replace("_", "-")
    host, colon, port = text.rpartition(":")
    if not colon and not text.isdigit():
        host, port = text, str(default_port)
    if host.startswith("[") != host.endswith("]") or (":" in host and not host.startswith("[")):
        raise LocalError(f'{flag} {text}: write an IPv6 address in brackets, such as "[::1]:{default_port}"')
    if not (port.isascii() and port.isdigit() and int(port[:6]) < 65536):
        raise LocalError(f"{flag} {text}: the port is a number up to 65535, such as {default_port}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _verb(args: argparse.Namespace, as_json: bool) -> int:
    from skerry_gateway.admin.client import request
    from skerry_gateway.admin.tables import SHOWN

    verb = f"{args.command} {args.action}"
    if verb == "policy eval" and (args.batch or args.nodes):
        return _eval_here(args, as_json)
    result = request(getattr(args, "state", None) or default_state(), verb, args.arguments(args))
    failed = verb in ("policy check", "policy eval") and not result["ok"]
    if as_json:
        print(json.dumps(result))
    else:
        print(SHOWN[verb](result, time.time_ns() // 1_000_000), file=sys.stderr if failed else sys.stdout)
    return 1 if failed else 0


def _policy_text(args: argparse.Namespace) -> dict[str, Any]:
    try:
        return {"text": sys.stdin.read() if args.file == "-" else Path(args.file).read_text()}
    except (OSError, UnicodeDecodeError) as error:
        raise LocalError(f"cannot read {args.file}: {error}") from None


def _policy_change(args: argparse.Namespace) -> dict[str, Any]:
    return {**_policy_text(args), "reason": args.reason}


def _eval_text(args: argparse.Namespace) -> dict[str, Any]:
    if args.policy is None:
        return {"text": None}
    return {"text": _policy_text(argparse.Namespace(file=args.policy))["text"]}


def _reach_values(args: argparse.Namespace) -> dict[str, Any]:
    return {"source": args.source, "destination": args.destination, "port": args.port, "protocol": args.proto}


def _eval_here(args: argparse.Namespace, as_json: bool) -> int:
    """policy eval for networks given as JSON, without the gateway's own state where no stored policy is asked for."""
    from skerry_gateway.policy.evaluation import answer_line, evaluate

    if args.batch:
        for line in sys.stdin:
            if line.strip():
                print(json.dumps(answer_line(line)), flush=True)
        return 0
    snapshot = _snapshot(args.nodes)
    if args.policy is None:
        from skerry_gateway.admin.client import request

        text = request(getattr(args, "state", None) or default_state(), "policy get", {"version": None})["text"]
    else:
        text = _eval_text(args)["text"]
    try:
        result = evaluate(text, snapshot)
    except PeerError as error:
        raise _Usage(f"{args.nodes}: {error}") from None
    return _show_eval(result, as_json)


def _show_eval(result: dict[str, Any], as_json: bool) -> int:
    from skerry_gateway.admin.tables import evaluated

    if as_json:
        print(json.dumps(result))
    if not as_json or not result["ok"]:
        print(evaluated(result), file=sys.stdout if result["ok"] else sys.stderr)
    return 0 if result["ok"] else 1


def _snapshot(file: str) -> dict[str, Any]:
    try:
        found = json.loads(sys.stdin.read() if file == "-" else Path(file).read_text())
    except (OSError, ValueError) as error:
        raise _Usage(f"cannot read the nodes from {file}: {error}") from None
    if not isinstance(found, dict):
        raise _Usage(f"{file}: expected an object with users and nodes")
    return found


def _network_values(args: argparse.Namespace) -> dict[str, Any]:
    approval = None if args.approval is None else args.approval == "on"
    return {"approval": approval, "suffix": args.suffix, "key_expiry": args.key_expiry}


_DNS_LISTS = ("nameservers", "routes", "search", "records")


def _dns_values(args: argparse.Namespace) -> dict[str, Any]:
    values: dict[str, Any] = {name: [] if name in args.clear else getattr(args, name) for name in _DNS_LISTS}
    both = [name for name in args.clear if getattr(args, name)]
    if both:
        raise _Usage(f"--clear {both[0]} and new {both[0]} at once: what is given replaces the list anyway")
    return {**values, "magic": None if args.magic is None else args.magic == "on", "base_domain": args.base_domain}


# the parser


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\nSee: {self.prog} --help\n")


class _Builder:
    """Subcommands that all know --state and --json."""

    def __init__(self) -> None:
        self.anywhere = _Parser(add_help=False)
        suppress = argparse.SUPPRESS  # what is absent here must not undo what stood before the subcommand
        self.anywhere.add_argument("--state", type=Path, metavar="DIR", default=suppress, help="the gateway's state directory")
        self.anywhere.add_argument("--json", action="store_true", default=suppress, help="print one JSON object")
        layout = argparse.RawDescriptionHelpFormatter
        self.parser = _Parser(
            prog="skerry-gateway", description="A private network's gateway: coordination, relay, console.", epilog=_EXAMPLES,
            formatter_class=layout, parents=[self.anywhere],
        )  # fmt: skip
        self.parser.add_argument("--version", action="version", version=_version())
        self.commands = self.parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    def command(self, name: str, words: str, **options: Any) -> Any:
        return self.commands.add_parser(name, help=words, description=words, parents=[self.anywhere], **options)

    def group(self, name: str, words: str) -> Any:
        return self.command(name, words).add_subparsers(dest="action", required=True, metavar="ACTION", parser_class=_Parser)

    def action(self, group: Any, name: str, words: str, arguments: Arguments) -> Any:
        parser = group.add_parser(name, help=words, description=words, parents=[self.anywhere])
        parser.set_defaults(arguments=arguments)
        return parser


def _version() -> str:
    try:
        return "skerry-gateway " + version("skerry")
    except PackageNotFoundError:
        return "skerry-gateway, not installed"


def _taking(*names: str) -> Arguments:
    return lambda args: {name: getattr(args, name) for name in names}


def build_parser() -> argparse.ArgumentParser:
    builder = _Builder()
    people = (_users_parser, _nodes_parser, _routes_parser, _keys_parser)
    for section in (_serve_parser, *people, _policy_parser, _network_parser, _dns_parser):
        section(builder)
    return builder.parser


def _serve_parser(builder: _Builder) -> None:
    serve = builder.command("serve", "run the gateway; without flags it works as it is")
    serve.add_argument("--url", metavar="URL", help="how people and nodes reach this gateway, such as https://vpn.example.org")
    serve.add_argument("--listen", metavar="ADDR:PORT", help="TCP: control, relay and console (default :8080)")
    serve.add_argument("--stun-listen", metavar="ADDR:PORT", help="UDP: relay and STUN, and STUN on the next port (default :3478)")
    words = "a second IPv4 address of this machine for STUN: nodes then learn more of their NATs (RFC 5780)"
    serve.add_argument("--stun-other", metavar="ADDR", help=words)
    words = "relay between nodes without a direct path on the first UDP port (default: do)"
    serve.add_argument("--udp-relay", action=argparse.BooleanOptionalAction, default=None, help=words)
    serve.add_argument("--tls-cert", metavar="FILE", help="certificate chain, PEM")
    serve.add_argument("--tls-key", metavar="FILE", help="the certificate's private key, PEM")
    serve.add_argument("--config", type=Path, metavar="FILE", help=f"TOML: state, {', '.join((*_CONFIG, *_SWITCHES))}")


def _users_parser(builder: _Builder) -> None:
    users = builder.group("users", "people of the network")
    create = builder.action(users, "create", "create a user", _taking("name", "role", "display_name"))
    create.add_argument("name", metavar="NAME")
    create.add_argument("--role", choices=("member", "admin", "owner"), help="default: member")
    create.add_argument("--display-name", metavar="TEXT")
    builder.action(users, "list", "list users", _taking())
    link = builder.action(users, "link", "make a sign-in link that works once", _taking("name", "expires"))
    link.add_argument("name", metavar="NAME")
    link.add_argument("--expires", metavar="TIME", help="such as 30m, 12h, 7d (default 1d)")
    remove = builder.action(users, "remove", "remove a user", _taking("name", "with_nodes"))
    remove.add_argument("name", metavar="NAME")
    remove.add_argument("--with-nodes", action="store_true", help="remove their nodes too")


def _nodes_parser(builder: _Builder) -> None:
    nodes = builder.group("nodes", "devices of the network")
    builder.action(nodes, "list", "list nodes, and machines that wait at their sign-in page", _taking())
    words = "let a waiting node in, or a node's routes"
    approve = builder.action(nodes, "approve", words, _taking("node", "routes", "user"))
    approve.add_argument("node", metavar="NODE", help="name or id; or the code a sign-in page shows")
    approve.add_argument("--routes", action="append", metavar="PREFIX", help="a route the node advertises; may be repeated")
    approve.add_argument("--user", metavar="NAME", help="whose device it is, for a machine at its sign-in page")
    words = "say whether two nodes can have a direct path, whose NAT is at fault, and what would help"
    again = builder.command("why", words)
    again.set_defaults(command="nodes", action="why", arguments=_taking("node", "other"))
    for parser in (builder.action(nodes, "why", words, _taking("node", "other")), again):
        parser.add_argument("node", metavar="NODE", help="name or id")
        parser.add_argument("other", metavar="OTHER", help="name or id")
    rename = builder.action(nodes, "rename", "give a node another name", _taking("node", "name"))
    rename.add_argument("node", metavar="NODE")
    rename.add_argument("name", metavar="NAME")
    for name, words in (("expire", "end a node's key: it must sign in again"), ("remove", "remove a node")):
        builder.action(nodes, name, words, _taking("node")).add_argument("node", metavar="NODE", help="name or id")


def _routes_parser(builder: _Builder) -> None:
    routes = builder.group("routes", "subnets and exit nodes: what nodes offer to carry, and what they may")
    builder.action(routes, "list", "list routes", _taking())
    for name, words in (("approve", "let a node carry routes it advertises"), ("withdraw", "take the approval of routes back")):
        action = builder.action(routes, name, words, _taking("node", "routes"))
        action.add_argument("node", metavar="NODE", help="name or id")
        action.add_argument("routes", nargs="*", metavar="ROUTE", help="such as 192.168.1.0/24, or exit-node (default: all it has)")


def _keys_parser(builder: _Builder) -> None:
    keys = builder.group("keys", "pre-auth keys: devices join with them without a person")
    create = builder.action(keys, "create", "make a key", _taking("user", "reusable", "ephemeral", "tags", "expires"))
    create.add_argument("--user", required=True, metavar="NAME", help="whose devices they will be")
    create.add_argument("--reusable", action="store_true", help="for more than one device")
    create.add_argument("--ephemeral", action="store_true", help="devices are removed when they stay away")
    create.add_argument("--tag", action="append", dest="tags", metavar="tag:NAME", help="devices belong to the tag; may be repeated")
    create.add_argument("--expires", metavar="TIME", help="such as 12h, 90d (default 90d)")
    builder.action(keys, "list", "list keys (never the secret)", _taking())
    builder.action(keys, "revoke", "end a key", _taking("id")).add_argument("id", type=int, metavar="ID")


def _policy_parser(builder: _Builder) -> None:
    policy = builder.group("policy", "who may reach whom")
    words = "say whether a policy is valid and passes its own tests"
    builder.action(policy, "check", words, _policy_text).add_argument("file", metavar="FILE", help="HuJSON; - is standard input")
    words = "show what a policy means for each node; with --nodes or --batch for a network given as JSON"
    evaluation = builder.action(policy, "eval", words, _eval_text)
    evaluation.add_argument("--policy", metavar="FILE", help="HuJSON (default: the policy in force)")
    evaluation.add_argument("--nodes", metavar="FILE", help="JSON: users, nodes, domains (default: this gateway's own)")
    evaluation.add_argument("--batch", action="store_true", help="each line of standard input is an object: id, policy, users, nodes")
    evaluation.add_argument("--format", choices=("text", "json"), default="text", help="json is the same as --json")
    words = "name the connections that a policy would open (+) and close (-)"
    builder.action(policy, "diff", words, _policy_text).add_argument("file", metavar="FILE", help="HuJSON; - is standard input")
    reach = builder.action(policy, "reach", "say whether a node reaches another on a port, and by which rule", _reach_values)
    reach.add_argument("source", metavar="FROM", help="a node's name, id or address")
    reach.add_argument("destination", metavar="TO")
    reach.add_argument("port", type=int, metavar="PORT")
    reach.add_argument("--proto", metavar="NAME", help="tcp, udp, icmp, ... (default tcp)")
    change = builder.action(policy, "set", "put a policy in force", _policy_change)
    change.add_argument("file", metavar="FILE", help="HuJSON; - is standard input")
    change.add_argument("--reason", metavar="TEXT", help="why, for the history")
    restore = builder.action(policy, "restore", "put an earlier version in force again, as a new one", _taking("version", "reason"))
    restore.add_argument("version", type=int, metavar="VERSION", help="as policy history lists them; 0 is the default policy")
    restore.add_argument("--reason", metavar="TEXT", help="why, for the history")
    get = builder.action(policy, "get", "print the policy", _taking("version"))
    get.add_argument("--version", type=int, metavar="N", help="an earlier one")
    builder.action(policy, "history", "list versions", _taking())


def _network_parser(builder: _Builder) -> None:
    network = builder.group("network", "settings of the network")
    builder.action(network, "show", "show settings and counts", _taking())
    change = builder.action(network, "set", "change settings", _network_values)
    change.add_argument("--approval", choices=("on", "off"), help="new nodes of people wait for an administrator")
    change.add_argument("--suffix", metavar="DOMAIN", help="names of nodes end in it")
    change.add_argument("--key-expiry", metavar="TIME", help="how long a node stays without a new sign-in, such as 180d; or never")


def _dns_parser(builder: _Builder) -> None:
    dns = builder.group("dns", "names: MagicDNS, nameservers, records; connected nodes are told at once")
    builder.action(dns, "show", "show the settings", _taking())
    change = builder.action(dns, "set", "change settings; each list that is given replaces the one before", _dns_values)
    change.add_argument("--magic", choices=("on", "off"), help="nodes answer each other's names")
    change.add_argument("--base-domain", metavar="DOMAIN", help="names of nodes end in it")
    words = "for everything else, in place of what a node's own network gives it; may be repeated"
    change.add_argument("--nameserver", action="append", dest="nameservers", metavar="ADDRESS", help=words)
    words = "ask these for that domain (split DNS); without an address: only records below; may be repeated"
    change.add_argument("--route", action="append", dest="routes", metavar="DOMAIN=ADDRESS,...", help=words)
    change.add_argument("--search", action="append", metavar="DOMAIN", help="tried behind short names, after the base domain")
    words = "a name that is no node's; may be repeated"
    change.add_argument("--record", action="append", dest="records", metavar="NAME=ADDRESS", help=words)
    change.add_argument("--clear", action="append", default=[], choices=_DNS_LISTS, help="empty a list")


if __name__ == "__main__":
    sys.exit(main())
