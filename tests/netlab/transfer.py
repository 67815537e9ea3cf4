"""TCP transfers with a checksum, run as a program inside a host of the lab.

    transfer.py serve ADDRESS PORT                      answers one request a connection, for ever
    transfer.py get|put ADDRESS PORT BYTES              one transfer; prints JSON {"bytes", "seconds", "sha256", "same"}
    transfer.py rate ADDRESS PORT SECONDS               transfers till the time is over; prints JSON {"bytes", "seconds"}

A request is one line, "get N" or "put N"; the data is a seeded block repeated with a counter in front of each, so that lost, doubled or
reordered blocks change the sum; the side that received answers with the SHA-256 in hex and the sender compares.
"""

import hashlib
import json
import random
import socket
import sys
import time
from collections.abc import Iterator

BLOCK = random.Random(1).randbytes(65536 - 8)


def blocks(total: int) -> Iterator[bytes]:
    """`total` bytes in pieces of at most 64 KiB."""
    number = 0
    while total:
        piece = (number.to_bytes(8, "big") + BLOCK)[:total]
        total -= len(piece)
        number += 1
        yield piece


def send(connection: socket.socket, total: int) -> str:
    digest = hashlib.sha256()
    for piece in blocks(total):
        digest.update(piece)
        connection.sendall(piece)
    return digest.hexdigest()


def receive(connection: socket.socket, total: int) -> str:
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(1 << 18))
    while total:
        n = connection.recv_into(buffer[: min(total, len(buffer))])
        if not n:
            raise ConnectionError(f"closed with {total} bytes to come")
        digest.update(buffer[:n])
        total -= n
    return digest.hexdigest()


def line(connection: socket.socket) -> str:
    text = b""
    while not text.endswith(b"\n"):
        byte = connection.recv(1)
        if not byte:
            raise ConnectionError("closed before a line")
        text += byte
    return text.decode().strip()


def answer(connection: socket.socket) -> None:
    verb, total = line(connection).split()
    if verb == "get":
        digest = send(connection, int(total))
    else:
        digest = receive(connection, int(total))
    connection.sendall(f"{digest}\n".encode())


def serve(address: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, port), family=family, backlog=16) as server:
        while True:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(60)
                try:
                    answer(connection)
                except OSError as error:
                    print(f"transfer: {error}", file=sys.stderr)


def connect(address: str, port: int) -> socket.socket:
    """A connection; a server that is about to listen is given five seconds."""
    end = time.monotonic() + 5
    while True:
        try:
            return socket.create_connection((address, port), timeout=60)
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def request(verb: str, address: str, port: int, total: int) -> dict[str, object]:
    start = time.monotonic()
    with connect(address, port) as connection:
        connection.sendall(f"{verb} {total}\n".encode())
        ours = receive(connection, total) if verb == "get" else send(connection, total)
        theirs = line(connection)
    return {"bytes": total, "seconds": time.monotonic() - start, "sha256": ours, "same": ours == theirs}


def rate(address: str, port: int, seconds: int) -> dict[str, object]:
    start = time.monotonic()
    total = 0
    while time.monotonic() - start < seconds:
        request("get", address, port, 4_000_000)
        total += 4_000_000
    return {"bytes": total, "seconds": time.monotonic() - start}


def main(verb: str, address: str, port: int, number: int = 0) -> None:
    if verb == "serve":
        serve(address, port)
    elif verb == "rate":
        print(json.dumps(rate(address, port, number)))
    else:
        print(json.dumps(request(verb, address, port, number)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
