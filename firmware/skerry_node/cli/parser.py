"""The command line of `skerry` in full, with help and errors, by argparse. quick.py reads the usual ones without loading it."""

import argparse
import functools
import os
import shutil

from skerry_core.errors import LocalError
from skerry_node.membership import VERSION
from skerry_node.options import default_socket

from . import commands
from .client import Client
from .output import WIDTH

EXAMPLES = """examples:
  skerry up --gateway https://gateway.example#mkey:...
  skerry up --gateway http://192.0.2.1:8080 --key file:/root/key --hostname camera-1
  skerry status
  skerry ping camera-1
  skerry why camera-1
  skerry capture --peer camera-1 | tshark -r -
"""


def parser() -> argparse.ArgumentParser:
    """All commands; --json and --socket may stand before or after the command."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON for programs")
    common.add_argument(
        "--socket",
        metavar="PATH",
        default=argparse.SUPPRESS,
        help=f"skerryd's local API (default: {default_socket(os.environ, os.geteuid())})",
    )
    style = functools.partial(argparse.RawDescriptionHelpFormatter, width=min(shutil.get_terminal_size().columns, WIDTH))
    top = argparse.ArgumentParser(
        "skerry", description="The Skerry node on this host.", epilog=EXAMPLES, formatter_class=style, parents=[common]
    )
    top.add_argument("--version", action="version", version=f"skerry {VERSION}")
    verbs = top.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def verb(name: str, text: str, example: str, function: object) -> argparse.ArgumentParser:
        added = verbs.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            epilog=f"example:\n  {example}",
            formatter_class=style,
            parents=[common],
        )
        added.set_defaults(function=function)
        return added

    up = verb(
        "up",
        "join a network, or come back to it, and wait until connected",
        "skerry up --gateway https://gateway.example --key file:/root/key",
        commands.up,
    )
    up.add_argument("--gateway", metavar="URL", help="the gateway, best with its key: https://host#mkey:...")
    up.add_argument("--key", metavar="KEY", help="pre-auth key; file:PATH or the variable SKERRY_KEY keep it off the process list")
    up.add_argument("--hostname", metavar="NAME", help="this node's name in the network (default: the host's)")
    _settings(up)
    up.add_argument("--timeout", metavar="SECONDS", type=seconds, help="give up waiting after this long; skerryd goes on trying")
    change = verb("set", "change settings of this node", "skerry set --advertise-routes 192.168.1.0/24", commands.set_)
    change.add_argument("--hostname", metavar="NAME", help="this node's name in the network")
    _settings(change)
    exits = verb("exit-node", "show the peers through which everything can go", "skerry exit-node list", commands.exit_nodes)
    exits.add_argument("action", choices=("list",), metavar="list")
    verb("down", "disconnect, stay a member", "skerry down", commands.down)
    status = verb("status", "show this node and its peers", "skerry status --json", commands.status)
    status.add_argument("-v", "--verbose", action="store_true", help="also rates, packets dropped and why, features in use")
    status.add_argument("search", metavar="TEXT", nargs="?", help="only peers with this in their name, address, owner, tag or system")
    status.add_argument("--online", action="store_true", help="only peers that are online")
    status.add_argument("--watch", action="store_true", help="show it again every two seconds, until Ctrl-C")
    ping = verb("ping", "ask a peer to answer, and say which way the answer took", "skerry ping -c 1 camera-1", commands.ping)
    ping.add_argument("peer", metavar="NAME|IP")
    ping.add_argument(
        "-c", "--count", type=int, default=10, help="stop after this many answers, or as soon as the path is direct (default: 10)"
    )
    ping.add_argument(
        "--until-direct", action=argparse.BooleanOptionalAction, default=True, help="stop at the first direct answer (default: yes)"
    )
    complete = verb(
        "completion", "print a script that makes the shell complete commands and names", "eval \"$(skerry completion bash)\"", _completion
    )
    complete.add_argument("shell", choices=("bash", "zsh", "fish", "names"), help="names: the peers' names, for such scripts")
    verb("netcheck", "measure the network this node is in", "skerry netcheck", commands.netcheck)
    verb("doctor", "check what this node depends on, and say what to do", "skerry doctor", _doctor)
    why = verb("why", "say why a peer is reached the way it is", "skerry why camera-1", commands.why)
    why.add_argument("peer", metavar="NAME|IP")
    capture = verb(
        "capture",
        "write the tunnel's packets as pcapng, for Wireshark and tcpdump",
        "skerry capture --peer camera-1 --seconds 10 --file camera-1.pcapng",
        _capture,
    )
    side = capture.add_mutually_exclusive_group()
    side.add_argument("--decrypted", action="store_true", help="packets inside the tunnel (default)")
    side.add_argument("--encrypted", action="store_true", help="UDP datagrams outside of it, IP headers made up; not relays'")
    capture.add_argument("--peer", metavar="NAME|IP", help="only to and from this peer")
    capture.add_argument("--count", metavar="N", type=positive, help="stop after N packets")
    capture.add_argument("--seconds", metavar="N", type=positive, help="stop after N seconds")
    capture.add_argument("--snaplen", metavar="BYTES", type=positive, help="bytes kept of each packet (default: all)")
    capture.add_argument("--file", metavar="FILE", help="write there, not to standard output")
    record = verb(
        "record",
        "write what skerryd's flight recorder holds: the last ten minutes at least, no keys",
        "skerry record > camera.rec",
        _record,
    )
    record.add_argument("--file", metavar="FILE", help="write there, not to standard output")
    replay = verb(
        "replay",
        "make the decisions in a recording again and show them as a timeline",
        "skerry replay camera.rec --svg camera.svg",
        _replay,
    )
    replay.add_argument("file", metavar="FILE", help="what skerry record wrote; - for standard input")
    replay.add_argument("--svg", metavar="FILE", help="draw it there")
    replay.add_argument("--anyway", action="store_true", help="replay a recording of another version as far as it goes")
    code = verb("code", "print the code that this board's portal asks for", "skerry code", commands.code)
    code.add_argument("--new", action="store_true", help="make another code; every browser has to enter it")
    dns = verb("dns", "show how names are answered on this host, or ask for one", "skerry dns query camera-1", _dns)
    dns.add_argument("action", choices=("status", "query"))
    dns.add_argument("name", nargs="?", metavar="NAME", help="what to ask for (query)")
    dns.add_argument("type", nargs="?", default="A", metavar="TYPE", help="such as A, AAAA, PTR, TXT (default: A)")
    verb("networks", "list the networks that this node knows", "skerry networks", _networks)
    switch = verb("switch", "use another network that this node knows; the one in use is kept", "skerry switch gateway.example", _switch)
    switch.add_argument("network", metavar="NAME", help="as skerry networks shows it")
    login = verb(
        "login",
        "join a further network; the one in use is kept, to be switched back to",
        "skerry login --gateway https://other.example --key file:/root/key",
        _login,
    )
    login.add_argument("--gateway", metavar="URL", required=True, help="the gateway, best with its key: https://host#mkey:...")
    login.add_argument("--key", metavar="KEY", help="pre-auth key; file:PATH or the variable SKERRY_KEY keep it off the process list")
    login.add_argument("--hostname", metavar="NAME", help="this node's name there (default: as here)")
    login.set_defaults(advertise_routes=None, **{name: None for name in commands.SETTINGS if name != "hostname"})
    login.add_argument("--timeout", metavar="SECONDS", type=seconds, help="give up waiting after this long; skerryd goes on trying")
    verb("logout", "leave the network; this node's keys are thrown away", "skerry logout", commands.logout)
    return top


def _settings(parser: argparse.ArgumentParser) -> None:
    """What `up` and `set` have in common."""
    parser.add_argument("--advertise-routes", metavar="PREFIXES", help='subnets to carry for others, separated by commas; "" for none')
    parser.add_argument("--exit-node", metavar="NAME|IP", help='send everything through that peer; "" for none')
    for name, words in (
        ("advertise-exit-node", "offer to carry everything to the Internet"),
        ("accept-routes", "use the subnets that others carry"),
        ("exit-node-allow-lan-access", "with an exit node: reach this host's own links directly"),
        ("accept-dns", "use the network's names on this host; =false leaves its DNS alone (default: yes)"),
        ("snat-subnet-routes", "hosts in advertised subnets see this node's address, not the peer's (default: yes)"),
    ):
        parser.add_argument(f"--{name}", type=boolean, nargs="?", const=True, metavar="BOOL", help=words)
    parser.add_argument("--operator", metavar="USER", help='user of this host who may change this node without root; "" for none')
    words = "relay over UDP for others on this port, which they must reach; 0 for any free one, off for not"
    parser.add_argument("--relay-server-port", metavar="PORT", type=relay_port, help=words)


def relay_port(text: str) -> int:
    """The port of a UDP relay, -1 for none, for argparse."""
    if text in ("off", ""):
        return -1
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a port from 1 to 65535, 0 for any free one, or off")
    return int(text)


def _capture(client: Client, arguments: argparse.Namespace) -> int:
    from .capture import capture

    return capture(client, arguments)


def _doctor(client: Client, arguments: argparse.Namespace) -> int:
    from .doctor import doctor

    return doctor(client, arguments)


def _networks(client: Client, arguments: argparse.Namespace) -> int:
    from .networks import networks

    return networks(client, arguments)


def _switch(client: Client, arguments: argparse.Namespace) -> int:
    from .networks import switch

    return switch(client, arguments)


def _login(client: Client, arguments: argparse.Namespace) -> int:
    from .networks import login

    return login(client, arguments)


def _record(client: Client, arguments: argparse.Namespace) -> int:
    from .recording import record

    return record(client, arguments)


def _replay(client: Client, arguments: argparse.Namespace) -> int:
    from .recording import replay

    return replay(client, arguments)


def _dns(client: Client, arguments: argparse.Namespace) -> int:
    from .names import query, status

    if arguments.action == "status":
        return status(client, arguments)
    if arguments.name is None:
        raise LocalError("name what to ask for, as in skerry dns query camera-1")
    return query(client, arguments)


def boolean(text: str) -> bool:
    """true or false, for argparse."""
    known = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if text.lower() not in known:
        raise argparse.ArgumentTypeError(f"{text!r}: expected true or false")
    return known[text.lower()]


def positive(text: str) -> int:
    """A number from 1 on, for argparse."""
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number above 0")
    return int(text)


def seconds(text: str) -> float:
    """A time to wait, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 86_400_000:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of seconds above 0")
    return value


def _completion(client: Client, arguments: argparse.Namespace) -> int:
    from .completion import completion

    return completion(client, arguments)
