"""Shell completion: `skerry completion bash|zsh|fish` prints a script; it asks `skerry completion names` for the peers' names.

The commands come from the parser itself, so that none is forgotten. Names are fetched when Tab is pressed; without skerryd there are none.
"""

from __future__ import annotations

import argparse

from . import output
from .client import Client, Failed, NotRunning

SHELLS = ("bash", "zsh", "fish", "names")

BASH = """_skerry() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}"
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{commands}" -- "$word"))
    return
  fi
  case "${{COMP_WORDS[1]}}" in
{options}  esac
}}
complete -F _skerry skerry
"""
BASH_ONE = """    {name}) COMPREPLY=($(compgen -W "{options}{names}" -- "$word")) ;;
"""
ZSH = """#compdef skerry
autoload -U +X bashcompinit && bashcompinit
"""
FISH = """complete -c skerry -f
complete -c skerry -n __fish_use_subcommand -a "{commands}"
{options}"""
FISH_ONE = """complete -c skerry -n "__fish_seen_subcommand_from {name}" -a "{options}{names}"
"""
NAMES = {"bash": " $(skerry completion names 2>/dev/null)", "fish": " (skerry completion names 2>/dev/null)"}
OF_PEERS = ("ping", "why", "status")


def completion(client: Client, arguments: argparse.Namespace) -> int:
    """Print a script, or the names."""
    if arguments.shell == "names":
        return _names(client)
    shell = "bash" if arguments.shell == "zsh" else arguments.shell
    whole, one = (BASH, BASH_ONE) if shell == "bash" else (FISH, FISH_ONE)
    commands = _commands()
    options = "".join(
        one.format(name=name, options=" ".join(words), names=NAMES[shell] if name in OF_PEERS else "") for name, words in commands.items()
    )
    print((ZSH if arguments.shell == "zsh" else "") + whole.format(commands=" ".join(commands), options=options), end="")
    return 0


def _names(client: Client) -> int:
    try:
        document = client.call("GET", "skerry/status")
    except (NotRunning, Failed):
        return 0
    for node in document["peers"]:
        name = output.clean(node["name"])
        if name and all(c.isalnum() or c in "-._" for c in name):  # the shell expands these
            print(name)
    return 0


def _commands() -> dict[str, list[str]]:
    """Command -> its long options."""
    from .parser import parser

    for action in parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            return {
                name: [word for each in made._actions for word in each.option_strings if word.startswith("--")]
                for name, made in action.choices.items()
            }
    return {}
