"""The gateway's durable state: the database behind `Store`, the directory behind `StateDir`, records and their queries.

`queries` are plain functions over a connection of `Store.read()` or `Store.write()`; several make one transaction. Not here:
anything of the moment (online, endpoints, disco keys), which skerry_gateway.control holds in memory.
"""

from .database import Store
from .records import Network, Node, PolicyVersion, PreAuthKey, User
from .state import StateDir

__all__ = ["Network", "Node", "PolicyVersion", "PreAuthKey", "StateDir", "Store", "User"]
