"""`skerry doctor`: every check with its verdict; exit code 1 when one is bad."""

import argparse
import json

from . import output
from .client import Client


def doctor(client: Client, arguments: argparse.Namespace) -> int:
    """Check, print, and tell by the exit code."""
    answer = client.call("POST", "skerry/doctor", {})
    print(json.dumps(answer, indent=2) if arguments.json else text(answer["checks"]))
    return 1 if answer["verdict"] == "bad" else 0


def text(rows: list[dict[str, str]]) -> str:
    """One paragraph a check, the remedy under it."""
    lines = []
    for row in rows:
        lines.append(output.wrap(output.clean(f"{row['check']:9} {row['verdict']:8} {row['reason']}"), " " * 19))
        if row["remedy"]:
            lines.append(output.wrap(output.clean(" " * 19 + row["remedy"]), " " * 19))
    return "\n".join(lines)
