"""The command `skerry-image`: which boards there are. Building images is not done yet."""

import argparse
import json
import sys

from skerry_board.description import Board, load, names, overlays
from skerry_core.errors import LocalError


def main(argv: list[str] | None = None) -> int:
    """Exit codes: 0 done, 1 it could not be done, 2 the command line is wrong."""
    parser = argparse.ArgumentParser(prog="skerry-image", description="Card images for boards.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    words = "list boards and overlays, or show one board whole"
    boards = commands.add_parser("boards", help=words, description=words)
    boards.add_argument("name", nargs="?", metavar="BOARD")
    boards.add_argument("--overlay", action="append", default=[], metavar="NAME", help="hardware on top of the board; may be repeated")
    boards.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args(argv)
    try:
        print(_one(load(args.name, args.overlay), args.json) if args.name else _all(args.json))
        return 0
    except LocalError as error:
        print(f"skerry-image: {error}", file=sys.stderr)
        return 1


def _one(board: Board, as_json: bool) -> str:
    if as_json:
        return json.dumps({"name": board.name, "overlays": list(board.overlays), **board.values})
    shown = ((key, ", ".join(value) if isinstance(value, list) else str(value)) for key, value in sorted(board.values.items()))
    return "\n".join(f"{key:<22}{value}" for key, value in shown)


def _all(as_json: bool) -> str:
    boards = [load(name) for name in names()]
    if as_json:
        return json.dumps({"boards": [{"name": board.name, "title": board["title"]} for board in boards], "overlays": overlays()})
    rows = [f"{board.name:<14}{board['title']}" for board in boards]
    return "\n".join([*rows, "", f"overlays: {', '.join(overlays())}"])


if __name__ == "__main__":
    sys.exit(main())
