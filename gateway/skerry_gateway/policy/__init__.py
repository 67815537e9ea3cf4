"""Access policy: the HuJSON text people write, checked, and applied to the network as immutable snapshots.

`parse(text)` gives a `Policy` or raises `PolicyError` (stage, line, column, one sentence); `Compiled(policy, nodes, users)` answers who
reaches and who sees whom; `trial` runs a policy's own tests, `question` says which rule lets one reach another, `difference` what a change
opens and closes, `evaluation` is the command that previews. Source: the documented grammar and behaviour of Tailscale's policy file.
Ours alone: autogroup:self-routes and autogroup:tagged-routes, what lies behind one's own and behind tagged routers.
Not taken: postures, services, user-defined derpMap, network-wide switches other than randomizeClientPort; each is refused by its name.
"""

from . import trial
from .compiled import Compiled, auto_approves, may_tag
from .document import Policy, parse
from .hujson import PolicyError
from .people import routes_in_force

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

__all__ = ["DEFAULT", "Compiled", "Policy", "PolicyError", "auto_approves", "may_tag", "parse", "routes_in_force", "trial"]
