"""The Python transport: packet path of the simulator and of boards without an operating system, and the model for the one in C.

It holds peers, sessions, allowed IPs, the filter and counters, and decides nothing about time: the engine changes it by transactions
(`apply`) and hears of what happened (`poll`). ARCHITECTURE.md has the contract; what it leaves open is settled here, for both transports:

- Prefixes: a prefix given to a second peer moves to it. Replacing or removing the first does not bring it back.
- `"relay", region, False` also forgets a half-received frame; relay bytes are deframed before `True` as well (the relay's greeting).
- A UDP datagram with a Geneve header is handed up, or opened, without it, on the path with its network id. On such a path `send` puts the
  header back: protocol disco for disco packets, else WireGuard, control bit clear. (Bind and Answer need the bit: encode them with
  `geneve` and send them on the path without network id.) `datagrams()` gives wire bytes, on paths without network id.
- Plaintext is padded to a multiple of 16 and cut back to the IP header's length. Keepalives count for RECEIVED, not for SENT, and not
  in `peer_stats`; `rx_*` counts packets that passed the source check, whatever the filter says.
- Handshake messages (types 1 and 2, right length, right MAC1) are counted in windows of one second that begin with the first message after
  the last window; from the 101st on, and in the window after such a one, a valid MAC2 is required. Without an identity all are dropped.
- Limits: 128 packets a peer's queue, 4096 datagrams and frames waiting in `poll`, 1 MiB and 1024 frames a relay's output, frames of
  65568 bytes at most from a relay, 4096 packets each in `datagrams()` and `packets()`.

Reasons of `drop_<reason>`:
    malformed    not IP, cut short, tiny fragment, IPv6 extension header (both directions); a RecvPacket without a key
    multicast, link_local                                            destination (both directions)
    no_route     outbound: nobody's allowed IP            queue       oldest of a full queue, or what a removed peer left
    unknown      datagram of no known protocol            index       data for an index that is not ours
    replay       counter seen or too old                  auth        does not open
    source       inner source is not the sender's         destination inner destination is not ours
    filter       no rule                                  tsmp        Tailscale's in-tunnel messages
    mac1         wrong MAC1, or no identity               cookie      over the rate without MAC2 (a cookie reply went out)
    relay        relay not up, or its output full (oldest)
    poll, output nobody took what waited there
"""

from skerry_core.transport.transport import Transport

__all__ = ["Transport"]
