"""skerry: the owner's command line for the node on this host. It talks to skerryd's local API and does nothing else.

Exit status: 0 done, 1 it failed (the reason is on standard error), 2 wrong arguments, 3 skerryd is not running,
130 interrupted by Ctrl-C.
"""

from __future__ import annotations

import io
import os
import sys

from skerry_core.errors import LocalError

from . import quick
from .client import Client, Failed, NotRunning

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

START = "start it with `sudo skerryd` (or `systemctl start skerryd`); another socket is named with --socket PATH"


def main(argv: list[str] | None = None) -> int:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that has not every letter of a name gets the rest
    words = sys.argv[1:] if argv is None else argv
    if not words:
        from .parser import parser

        parser().print_help(sys.stderr)
        return 2
    arguments = quick.read(words) or _explained(words)
    arguments.json = getattr(arguments, "json", False)
    try:
        client = Client(getattr(arguments, "socket", None))
        code: int = arguments.function(client, arguments)
        sys.stdout.flush()
        return code
    except NotRunning as error:
        return _failed(f"{error}: {START}", 3)
    except (Failed, LocalError) as error:
        return _failed(str(error), 1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the reader of our output left; no traceback at exit
        return 1
    except KeyboardInterrupt:
        return 130


def _explained(argv: list[str]) -> argparse.Namespace:
    """What is not plain: argparse reads it, or says what is wrong with it and ends the program."""
    from .parser import parser

    return parser().parse_args(argv)


def _failed(sentence: str, code: int) -> int:
    from .output import clean, wrap

    print(wrap(f"skerry: {clean(sentence)}"), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
