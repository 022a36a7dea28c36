"""A server whose handler does nothing: what the sockets and the framing alone cost.

GET and HEAD of a path that ends in `-<size>` answer with so many bytes of a mapped file; a body is
read and dropped. Prints `ready s3=URL` like `sidegate serve`.

    python bench/trivial.py
"""

from __future__ import annotations

import mmap
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from gateway.clock import SystemClock
from gateway.entropy import SystemEntropy
from gateway.limits import MIB
from gateway.server.arenas import Arenas
from gateway.server.lifecycle import StopSignals, drain_all, run
from gateway.server.listener import Listener
from gateway.wire.messages import Request, Response

_FILE_SIZE = 64 * MIB


def mapped() -> memoryview:
    """Return a read-only mapping of a file of `_FILE_SIZE` bytes that is in the page cache."""
    with tempfile.TemporaryFile() as file:
        for _ in range(_FILE_SIZE // MIB):
            file.write(os.urandom(MIB))
        file.flush()
        return memoryview(mmap.mmap(file.fileno(), _FILE_SIZE, prot=mmap.PROT_READ))


async def serve() -> None:
    """Serve until a signal comes."""
    data = mapped()

    async def handler(request: Request) -> Response:
        if request.method in {b"GET", b"HEAD"}:
            size = int(request.target.rpartition(b"-")[2])
            return Response(200, [(b"Content-Type", b"x/y")], [data[:size]], size)
        while await request.body.read() is not None:
            pass
        return Response(200)

    listener = Listener(
        handler,
        "127.0.0.1",
        0,
        clock=SystemClock(),
        entropy=SystemEntropy(),
        arenas=Arenas(),
    )
    host, port = await listener.start()
    with StopSignals() as stop:
        print(f"ready s3=http://{host}:{port}", flush=True)
        await stop.asked()
        await drain_all([listener], stop)


if __name__ == "__main__":
    run(serve())
