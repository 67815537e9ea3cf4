"""Who may do what on the local API, told by the kernel's word for who asks (SO_PEERCRED).

READ: whoever may open the socket (mode 0660: its owner and the group skerry). WRITE: root, the user skerryd runs as, and the operator,
a user of this host whom root named (`skerry set --operator USER`); the socket is given to that user. ROOT: the first two alone, for what
shows others' traffic. The operator changes this node, not who its operator is, and has no file read with skerryd's rights.
"""

import os

from .http import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .http import Request

READ, WRITE, ROOT = "read", "write", "root"


def check(access: str, uid: int, operator: str) -> None:
    """Refusal, unless this user may."""
    if access == READ or is_root(uid) or (access == WRITE and operator and uid == user(operator)):
        return
    if access == ROOT:
        raise Refusal(403, "this shows others' traffic: only root and the user skerryd runs as may ask for it; use sudo")
    raise Refusal(403, "only root and this node's operator (sudo skerry set --operator USER) may change this node: use sudo")


def is_root(uid: int) -> bool:
    """Whether it is root, or as good for skerryd."""
    return uid in (0, os.geteuid())


def check_changes(changes: "dict[str, Any]", request: "Request") -> None:
    """Refuse what an operator must not have changed or read, and an operator whom this host does not know."""
    name = changes.get("operator", "")
    if not is_root(request.uid):
        if "operator" in changes:
            raise Refusal(403, "operator: only root names this node's operator; use sudo")
        if str(changes.get("key", "")).startswith("file:"):
            raise Refusal(403, "key: skerryd reads a file for root alone; give the pre-auth key itself, as the command line does")
    if isinstance(name, str) and name and user(name) is None:
        raise Refusal(400, f'operator: this host has no user "{name[:100]}"')


def user(name: str) -> "int | None":
    """The number of a user of this host."""
    import pwd

    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):
        return None
