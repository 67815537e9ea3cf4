"""A flow whose bytes are written down as they arrive, to see what becomes of it while something is restarted.

As a program inside a host of the lab:
    flow.py receive ADDRESS PORT                        one TCP connection; prints "time bytes-so-far" every 2 ms that brings something
    flow.py send ADDRESS PORT SECONDS MEGABITS          sends that fast at most, in pieces of 1 ms
    flow.py tell ADDRESS PORT                           to whoever sends one datagram: a numbered one every 5 ms, for ever
    flow.py hear ADDRESS PORT SECONDS                   sends datagrams until one comes, then none; prints "time number" for each

Times are the machine's monotonic clock, one for all namespaces. A receiver's last line is "end", or "error" and the reason.
"""

import itertools
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.netlab.programs import Node

PORT = 9000
STEP = 0.002


def receive(address: str, port: int) -> None:
    with socket.create_server((address, port)) as listener:
        connection, _ = listener.accept()
    total, told = 0, 0.0
    buffer = bytearray(1 << 20)
    while n := connection.recv_into(buffer):
        total += n
        now = time.monotonic()
        if now - told >= STEP:
            told = now
            print(f"{now:.4f} {total}", flush=True)


def send(address: str, port: int, seconds: float, megabits: float) -> None:
    piece = bytes(int(megabits * 125))  # a millisecond's
    with socket.create_connection((address, port), timeout=20) as connection:
        begun, number = time.monotonic(), 0
        while (passed := time.monotonic() - begun) < seconds:
            if number < passed * 1000 + 20:  # what could not be sent meanwhile is not made up for beyond 20 ms
                number = max(number + 1, int(passed * 1000))
                connection.sendall(piece)
            else:
                time.sleep(0.001)


def tell(address: str, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((address, port))
        _, listener = sock.recvfrom(2000)
        number = 0
        while True:
            sock.sendto(str(number).encode(), listener)
            number += 1
            time.sleep(0.005)


def hear(address: str, port: int, seconds: float) -> None:
    end = time.monotonic() + seconds
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((address, port))
        sock.settimeout(0.2)
        sock.send(b"begin")
        heard = False
        while time.monotonic() < end:
            try:
                print(f"{time.monotonic():.4f} {int(sock.recv(100))}", flush=True)
                heard = True
            except (TimeoutError, ConnectionRefusedError):  # refused: nobody tells yet
                if not heard:  # once there are replies nothing may open the way for them again
                    sock.send(b"begin")


class Flow:
    """`with Flow(sender, receiver, seconds) as flow:` TCP between two nodes of a lab; `end()` gives [(time, bytes so far)]."""

    def __init__(self, sender: "Node", receiver: "Node", seconds: float, megabits: float = 1000) -> None:
        self.sender, self.receiver, self.seconds, self.megabits = sender, receiver, seconds, megabits
        self.error = ""
        self._log = f"{sender.name}-to-{receiver.name}-{time.monotonic_ns()}"

    def __enter__(self) -> "Flow":
        from tests.netlab.lab import until

        script = [sys.executable, __file__]
        address = self.receiver.address
        self._hears = self.receiver.host.start(*script, "receive", address, str(PORT), log=self._log)
        listening = ["ss", "-Htln", f"sport = :{PORT}"]
        until("the receiver listens", lambda: self.receiver.host.run(*listening).stdout, 10, 0.02)
        argv = [*script, "send", address, str(PORT), str(self.seconds), str(self.megabits)]
        self._sends = self.sender.host.start(*argv, log=self._log + "-sender")
        return self

    def __exit__(self, *_: object) -> None:
        self.sender.host.lab.stop(self._sends, self._hears)

    def series(self) -> list[tuple[float, int]]:
        """So far."""
        lines = (self.receiver.host.lab.path / f"{self._log}.log").read_text().split("\n")[:-1]
        found = [line.split() for line in lines]
        self.error = next((" ".join(words[1:]) for words in found if words[0] == "error"), self.error)
        return [(float(words[0]), int(words[1])) for words in found if words[0][0].isdigit()]

    def received(self) -> int:
        """Bytes so far."""
        found = self.series()
        return found[-1][1] if found else 0

    def end(self) -> list[tuple[float, int]]:
        """Wait until both are done; what arrived, and `error` if the connection broke."""
        for process in (self._sends, self._hears):
            try:
                process.wait(self.seconds + 20)
            except subprocess.TimeoutExpired:
                self.error = self.error or "it did not end"
        if self._sends.returncode:
            text = (self.sender.host.lab.path / f"{self._log}-sender.log").read_text()
            self.error = self.error or text.strip().rpartition("\n")[2]
        return self.series()


def gap(series: "list[tuple[float, int]]") -> float:
    """The longest time without a byte, in seconds, from the first to the last."""
    times = [at for at, _ in series]
    return max((b - a for a, b in itertools.pairwise(times)), default=0.0)


def main(verb: str, address: str, port: str, *numbers: str) -> None:
    try:
        {"receive": receive, "send": send, "tell": tell, "hear": hear}[verb](address, int(port), *map(float, numbers))  # type: ignore[operator]
    except OSError as error:
        if verb != "receive":
            raise
        print(f"error {error}", flush=True)
    else:
        print("end", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
