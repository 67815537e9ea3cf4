"""Who asks: the gateway's own command line, which may do everything, or a signed-in user within their role.

owner    everything
admin    everything but what would make them more: nobody of a higher role is removed, impersonated by a link or key, or created
member   their own nodes and pre-auth keys
"""

from dataclasses import dataclass

from skerry_gateway.control import AdminError
from skerry_gateway.store import Node, User

_RANKS = {"member": 1, "admin": 2, "owner": 3}
_MACHINE = 4  # the command line: whoever can use it can read the database


@dataclass(frozen=True, slots=True)
class Caller:
    name: str  # for the audit log
    user: User | None = None

    @property
    def rank(self) -> int:
        return _MACHINE if self.user is None else _RANKS.get(self.user.role, 0)

    @property
    def administers(self) -> bool:
        return self.rank >= _RANKS["admin"]

    def needs_admin(self, verb: str) -> None:
        if not self.administers:
            raise AdminError(f"{self.name} may not do {verb}: it takes an admin or the owner of the network")

    def needs_rank_of(self, role: str, what: str) -> None:
        if self.rank < _RANKS.get(role, _MACHINE):
            raise AdminError(f"{self.name} may not {what}: it takes the role {role}")

    def acts_for(self, user: User, what: str) -> None:
        """May they act as this user? Oneself always, others from admin on, nobody of a higher role."""
        if self.user is not None and self.user.id == user.id:
            return
        self.needs_admin(what)
        self.needs_rank_of(user.role, f"{what} for {user.name}")

    def owns(self, node: Node) -> bool:
        return self.administers or (self.user is not None and node.user_id == self.user.id)
