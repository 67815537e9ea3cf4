"""Bugs planted in the policy compiler, each against a numbered rule of the policy text: {name: function that plants it by monkeypatch}."""

from dataclasses import replace
from ipaddress import ip_network

from skerry_gateway.policy import attributes, compiled, edges, people, rules

REAL_MEMBER, REAL_DST_PORTS, REAL_CARRIES, REAL_SELF = compiled.member, edges.dst_ports, edges.Edges._carries, edges.Edges._self_edges
REAL_IP, REAL_MAKER = rules._ip, edges.Edges.of


def former_user(patch):
    patch.setattr(compiled, "member", lambda node, user: replace(REAL_MEMBER(node, user), user=user))


def exits_are_subnets(patch):
    def member(node, user):
        found = REAL_MEMBER(node, user)
        return replace(found, subnets=found.subnets + tuple(ip_network(route) for route in found.exits))

    patch.setattr(compiled, "member", member)


def no_owners(patch):
    patch.setitem(edges._ROLES, "admin", lambda m: m.user is not None and m.user.role == "admin")


def one_family(patch):
    patch.setattr(edges, "_own", lambda member: (member.node.ipv4,))


def tags_of_via_ignored(patch):
    patch.setattr(edges.Edges, "_carries", lambda self, member, target, via: REAL_CARRIES(self, member, target, member.node.tags or via))


def self_of_tagged(patch):
    patch.setattr(edges.Edges, "_self_edges", lambda self, rule, sources, *ports: REAL_SELF(self, rule, self._everyone, *ports))


def capabilities_wide(patch):
    patch.setattr(compiled, "cap_dsts", lambda member, edge: ["0.0.0.0/0", "::/0"])


def one_grant_entry(patch):
    patch.setattr(rules, "_ip", lambda *given: dict(list(REAL_IP(*given).items())[:1]))


def via_of_anybody(patch):
    patch.setattr(edges.Edges, "of", lambda self, rule: [replace(edge, via=False) for edge in REAL_MAKER(self, rule)])


def clipped(patch):
    def dst_ports(member, edge):
        held = [str(prefix) for prefix in member.prefixes]
        return [e for e in REAL_DST_PORTS(member, edge) if e["IP"] == "*" or "-" in e["IP"] or e["IP"] in held or "/" not in e["IP"]]

    patch.setattr(compiled, "dst_ports", dst_ports)


def exit_by_wide_route(patch):
    patch.setattr(attributes, "EXIT", ())


PLANTED = {
    "sources * without subnet routes (4)": lambda patch: patch.setattr(edges.Edges, "_subnets", lambda self: []),
    "sources * without the hole (4)": lambda patch: patch.setattr(edges, "TAILNET", ("100.64.0.0/10", "fd7a:115c:a1e0::/48")),
    "a tagged node keeps its user (3)": former_user,
    "exit routes count as subnets (14)": exits_are_subnets,
    "advertised is approved (13)": lambda patch: patch.setattr(people, "routes_in_force", lambda node: node.routes_advertised),
    "admins without owners (10)": no_owners,
    "the IPv4 address only (2)": one_family,
    "domains not compared (11)": lambda patch: patch.setattr(edges, "domain_of", lambda user, suffix: suffix),
    "the internet with private ranges (16)": lambda patch: patch.setattr(edges, "INTERNET", ("0.0.0.0/0", "2000::/3")),
    "self from everybody (17)": self_of_tagged,
    "capabilities not narrowed (18)": capabilities_wide,
    "only the first protocol of ip (20)": one_grant_entry,
    "nothing given back (24)": lambda patch: patch.setattr(rules, "_GIVEN_BACK", {}),
    "routers without the tags of via (27)": tags_of_via_ignored,
    "app sent with via (28)": via_of_anybody,
    "prefixes clipped (13)": clipped,
    "exit approved by a wide route (31)": exit_by_wide_route,
}
