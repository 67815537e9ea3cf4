"""NAT behaviours as nftables rules, each measured on a 6.18 kernel (RFC 4787 terms in the comments).

`wan` is the interface to the Internet, `ip` the router's public address there.
"""

BLOCK = (20480, 20991)

KINDS = {
    # endpoint-independent mapping, address and port dependent filtering: what a Linux home router does
    "easy": "oifname wan masquerade",
    # the same with a translated port
    "easy-translated": f"oifname wan meta l4proto udp snat ip to {{ip}}:{BLOCK[0]}-{BLOCK[1]}; oifname wan masquerade",
    # address and port dependent mapping: a new random port for every flow
    "hard": "oifname wan masquerade fully-random",
    "hard-block": f"oifname wan meta l4proto udp snat ip to {{ip}}:{BLOCK[0]}-{BLOCK[1]} fully-random; oifname wan masquerade",
    # the next port of the block for every flow; a map, as numgen's offset is byte-swapped as a port
    "hard-sequential": "oifname wan meta l4proto udp snat ip to {ip} : numgen inc mod 512 map { "
    + ", ".join(f"{number}: {BLOCK[0] + number}" for number in range(512))
    + " }; oifname wan masquerade",
}

TABLE = """
table ip nat {{
  chain post {{ type nat hook postrouting priority srcnat; policy accept; {rule}; }}
}}
table ip filter {{
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname wan ct state invalid,new drop
  }}
  # as home routers do; it also keeps a stranger's datagram from leaving a conntrack entry that would take the port from a mapping
  chain input {{
    type filter hook input priority filter; policy accept;
    iifname wan ct state invalid,new drop
  }}
}}
"""

BLOCK_UDP = "add table inet block\nadd chain inet block f {{ type filter hook {hook} priority -10; policy accept; }}\n" \
    "add rule inet block f meta l4proto udp counter drop\n"


def ruleset(kind: str, address: str) -> str:
    """The nft script for a router of this kind; KeyError for an unknown one."""
    return TABLE.format(rule=KINDS[kind].replace("{ip}", address))
