"""Ports for servers that are stopped and started again: none that anybody else is given meanwhile.

Those the system hands out (to servers on port 0, to every outgoing connection) lie above ``FIRST + SPAN * PROCESSES``,
and each test process has a range of its own below.
"""

import itertools
import os
import random
import re
import socket

FIRST, SPAN, PROCESSES = 20_000, 700, 16
_PROCESS = int(re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "")) or 0) % PROCESSES
_numbers = itertools.cycle(random.sample(range(SPAN), SPAN))


def free_port() -> int:
    """A port nobody listens on, and no other test is given."""
    for number in itertools.islice(_numbers, SPAN):
        port = FIRST + SPAN * _PROCESS + number
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what was closed a moment ago is free
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no port is free from {FIRST + SPAN * _PROCESS} on")
