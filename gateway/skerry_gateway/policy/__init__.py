"""Access policy: the HuJSON text people write, checked, and applied to the network as immutable snapshots.

`parse(text)` gives a `Policy` or raises `PolicyError` (stage, line, column, one sentence); `Compiled(policy, nodes, users)` answers
who reaches and who sees whom. Supported: acls, groups, hosts, tagOwners, autogroup:member, tagged, owner, admin, self and internet, and
our own self-routes and tagged-routes. Not yet: grants, ssh, nodeAttrs, autoApprovers, tests, via; a policy that names one is refused,
never half obeyed.
"""

from .compiled import Compiled, may_tag, routes_in_force
from .document import Policy, parse
from .hujson import PolicyError

DEFAULT = """\
// The policy of a new network.
{
  "acls": [
    // Everyone reaches their own devices, and through them the subnets and the Internet that were approved there.
    {"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:self:*", "autogroup:self-routes:*"]},
    // The network's owner also reaches every tagged device, and what was approved there.
    {"action": "accept", "src": ["autogroup:owner"], "dst": ["autogroup:tagged:*", "autogroup:tagged-routes:*"]},
  ],
}
"""

__all__ = ["DEFAULT", "Compiled", "Policy", "PolicyError", "may_tag", "parse", "routes_in_force"]
