"""The two servers.

Faults and measurements, on either port, for tests:
    POST /lab/cut-after?bytes=N[&times=K]   the next K bodies (1) of more than N bytes end after N
    POST /lab/down?for=N[&client=ADDRESS]   the next N requests to the Hub (of this client) are answered 503 (0: up
                                            again)
    POST /lab/throttle?for=N[&retry-after=S]
                                            the next N requests to the Hub are answered 429, to be repeated after
                                            S seconds (1)
    POST /lab/slow?rate=N[&after=B]         bytes per second of all files together, on both ports, also for those
                                            under way (0: as fast as it goes), from now on or once B more bytes went
    POST /lab/corrupt?path=P[&times=K]      flip a byte in the middle of the next K answers with file P
    POST /lab/expire                        every address that was signed so far is refused by the CDN
    POST /lab/no-ranges?on=1                the CDN answers a range with the whole file (0: with the range)
    POST /lab/reset                         forget faults and log; what expired stays expired
    GET  /lab/log                           every request: time, server, method, path, client, status, range, bytes of
                                            the body sent so far, whether it carried an Authorization header (not its
                                            value), and whether the answer is done
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab.hub.cdn import CdnHandler
from tests.lab.hub.faults import Shared
from tests.lab.hub.handler import LabServer
from tests.lab.hub.hub import HubHandler
from tests.lab.hub.models import Library

__all__ = ["CDN_PORT", "PORT", "LabServer", "Shared", "serve", "serving"]

PORT = 8091
CDN_PORT = 8092


def serve(library: Library, address: str, port: int = 0, cdn_port: int = 0) -> tuple[LabServer, LabServer]:
    """Both servers, already answering in threads; port 0 takes any free one."""
    shared = Shared(library)
    cdn = LabServer((address, cdn_port), CdnHandler, shared)
    shared.cdn_url = f"http://{address}:{cdn.server_port}"
    hub = LabServer((address, port), HubHandler, shared)
    for server in (cdn, hub):
        server.in_background()
    return hub, cdn


@contextmanager
def serving(library: Library) -> Iterator[LabServer]:
    """The Hub on a free port of loopback, with its CDN, for as long as a test needs it."""
    hub, cdn = serve(library, "127.0.0.1")
    try:
        yield hub
    finally:
        for server in (hub, cdn):
            server.shutdown()
            server.server_close()
