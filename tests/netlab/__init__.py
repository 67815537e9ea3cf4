"""A small Internet in network namespaces: a bridge, public hosts, NAT routers of several kinds, and hosts behind them.

    router 10.99.0.3 ----+                +---- gateway 10.99.0.2 (public)
    lan 192.168.3.0/24   |  bridge "wan"  |
    node .10        -----+   10.99.0.1    +---- router 10.99.0.4 ---- node 192.168.4.10

`python -m tests.netlab COMMAND...` runs COMMAND in fresh user (when not root), mount, network and process namespaces, so that
nothing of the host is touched and everything ends with the command, however it ends. Lab works only inside.
NAT kinds are the measured recipes of nftables named in `nat.py`. It does not simulate delay or reordering: tests/sim does.
"""

from tests.netlab.lab import Host, Lab, LabError, inside

__all__ = ["Host", "Lab", "LabError", "inside"]
