"""Two nodes join a gateway and one pings the other: the shortest proof that an installation works. Run inside: `python -m tests.netlab`."""

from tests.netlab.lab import lab_with_logs
from tests.netlab.programs import Gateway, Skerryd


def main() -> None:
    with lab_with_logs() as lab:
        gateway = Gateway(lab.public("gateway"), "gw")
        gateway.start()
        nodes = [Skerryd(lab.behind(lab.router(f"r{name}"), name), name) for name in ("a", "b")]
        for node in nodes:
            node.start()
            node.up(gateway.url, gateway.key())
        nodes[0].reaches(nodes[1].address)
    print("joined and reached")


if __name__ == "__main__":
    main()
