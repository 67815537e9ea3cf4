"""Carry TCP out of a network namespace: sockets of the file system cross it.

    forward.py inside PATH ADDRESS PORT     in the namespace: a unix socket at PATH leads to ADDRESS:PORT there
    Outside.listen(PATH)                    on the host: a loopback TCP port leads to that unix socket
"""

import asyncio
import contextlib
import sys


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


async def join(
    one: tuple[asyncio.StreamReader, asyncio.StreamWriter], other: tuple[asyncio.StreamReader, asyncio.StreamWriter]
) -> None:
    try:
        await asyncio.gather(pipe(one[0], other[1]), pipe(other[0], one[1]))
    finally:
        one[1].close()
        other[1].close()


async def inside(path: str, address: str, port: int) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            target = await asyncio.wait_for(asyncio.open_connection(address, port), 10)
        except (OSError, TimeoutError):
            writer.close()
            return
        await join((reader, writer), target)

    server = await asyncio.start_unix_server(handle, path)
    await server.serve_forever()


async def listen(path: str, port: int = 0) -> tuple[asyncio.Server, int]:
    """Listen on 127.0.0.1; the given port when it is free, else any; returns the server and its port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            target = await asyncio.open_unix_connection(path)
        except OSError:
            writer.close()
            return
        await join((reader, writer), target)

    try:
        server = await asyncio.start_server(handle, "127.0.0.1", port)
    except OSError:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


if __name__ == "__main__":
    asyncio.run(inside(sys.argv[2], sys.argv[3], int(sys.argv[4])))
