"""skerryd's command line and where things are. (argparse is 1.8 MB that a daemon would keep.)"""

import os

from skerry_core.errors import LocalError

from . import node_toml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

TUN = "skerry0"
PORT = 41641
USAGE = f"""usage: skerryd [--state DIR] [--socket PATH] [--tun NAME] [--port N] [--config FILE]
               [--log-file FILE] [--verbose]

The Skerry node: joins this board to a network and keeps it there.

  --state DIR      keys and what must survive a power cut (default: /var/lib/skerry,
                   or ~/.local/state/skerry when not root)
  --socket PATH    the local API, for `skerry` and for `tailscale --socket`
                   (default: /run/skerry/skerryd.sock, or below $XDG_RUNTIME_DIR when not root)
  --tun NAME       name of the interface (default: {TUN})
  --port N         UDP port, 0 for any free one (default: {PORT})
  --config FILE    node.toml (default: node.toml in the state directory, if there is one)
  --log-file FILE  write the log there, not to standard error; opened anew at SIGHUP,
                   kept below 4 MB, the one before as FILE.1
  --verbose        also say what happens inside
  --help, --version

examples:
  skerryd
  skerryd --state /data/skerry --port 0 --verbose
  skerry up --gateway https://gateway.example#mkey:... --key file:/root/key
"""


class Options:
    """`state`, `socket`, `tun` (or None), `port` (or None), `config`, `log_file` (or None), `verbose`, `ask` ("help", "version" or "")."""

    def __init__(self) -> None:
        self.state = default_state(os.environ, os.geteuid())
        self.socket = default_socket(os.environ, os.geteuid())
        self.tun: str | None = None
        self.port: int | None = None
        self.config: str | None = None
        self.log_file: str | None = None
        self.verbose = False
        self.ask = ""


def parse(argv: "list[str]") -> Options:
    """The command line without its first word. LocalError names what is wrong."""
    options = Options()
    words = list(argv)
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if name in ("-h", "--help"):
            options.ask = "help"
        elif name == "--version":
            options.ask = "version"
        elif name in ("-v", "--verbose"):
            options.verbose = True
        elif name in ("--state", "--socket", "--tun", "--port", "--config", "--log-file"):
            if not equals:
                if not words:
                    raise LocalError(f"{name} needs a value; see skerryd --help")
                value = words.pop(0)
            _take(options, name, value)
        else:
            raise LocalError(f'unknown argument "{word}"; see skerryd --help')
    return options


def _take(options: Options, name: str, value: str) -> None:
    if not value:
        raise LocalError(f"{name} needs a value; see skerryd --help")
    if name == "--port":
        if not (value.isascii() and value.isdigit()):
            raise LocalError(f'--port: "{value}" is not a number')
        options.port = int(value)
        wrong = node_toml.check_port(options.port)
    elif name == "--tun":
        options.tun = value
        wrong = node_toml.check_tun(value)
    else:
        setattr(options, name[2:].replace("-", "_"), value)
        wrong = None
    if wrong:
        raise LocalError(f"{name}: {wrong}")


def default_state(environ: "Mapping[str, str]", uid: int) -> str:
    """Where state is kept without --state; systemd's StateDirectory= wins."""
    given = environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if given or uid == 0:
        return given or "/var/lib/skerry"
    return os.path.join(environ.get("XDG_STATE_HOME") or os.path.join(environ.get("HOME", "."), ".local/state"), "skerry")


def default_socket(environ: "Mapping[str, str]", uid: int) -> str:
    """Where the local API is without --socket; SKERRY_SOCKET wins."""
    if environ.get("SKERRY_SOCKET"):
        return environ["SKERRY_SOCKET"]
    if uid == 0 or not environ.get("XDG_RUNTIME_DIR"):
        return "/run/skerry/skerryd.sock"
    return os.path.join(environ["XDG_RUNTIME_DIR"], "skerry/skerryd.sock")


def read_file(options: Options) -> "dict[str, object]":
    """node.toml: the one named, which must exist, or the one in the state directory, which need not."""
    if options.config is not None:
        try:
            return node_toml.load(options.config)
        except FileNotFoundError:
            raise LocalError(f"--config: there is no file {options.config}") from None
    try:
        return node_toml.load(os.path.join(options.state, "node.toml"))
    except FileNotFoundError:
        return {}
