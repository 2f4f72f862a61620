"""The process of the local model: a llama.cpp server, on the loopback interface unless its order says otherwise.

Its parent writes one line of JSON to its standard input and keeps that open: when the parent ends, however it ends,
the line is cut and this process goes with it. It answers with one line of JSON on standard output: the address it
listens on. Everything llama.cpp has to say goes to standard error.

Nothing but the standard library and llama.cpp is imported here, so that the process holds the model and little else.
"""

import json
import os
import sys
import threading
from contextlib import suppress
from typing import Any

NICE = 10
"""The model gives way to everything else on the machine."""


def main() -> None:
    """Serves until the parent is gone."""
    # llama.cpp prints where it likes: the real standard output is ours alone.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with suppress(OSError):
        os.nice(NICE)
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    server = _serve(order)
    answer.write(json.dumps({"address": server.listening_address}) + "\n")
    answer.flush()
    threading.Event().wait()


def _leave_with_parent() -> None:
    while sys.stdin.readline():
        pass
    # Not sys.exit: the model may be in the middle of an answer that nobody waits for.
    os._exit(0)


def _serve(order: dict[str, Any]) -> Any:  # noqa: ANN401  (llama.cpp's binding ships no types)
    # Deferred: an optional extra, and the tests of the protocol do without it.
    import xllamacpp  # noqa: PLC0415

    params = xllamacpp.CommonParams()
    params.model.path = order["path"]
    params.model_alias = {order["name"]}  # else callers would see the path
    params.n_ctx = order["context"] * order["parallel"]  # shared out among the slots
    params.n_parallel = order["parallel"]
    params.cpuparams.n_threads = order["threads"]
    params.cpuparams_batch.n_threads = order["threads"]
    params.hostnames = [order["host"]]
    params.port = order["port"]
    params.api_keys = [order["key"]]  # any page in a browser can reach the loopback interface
    params.cors_origins = ""
    params.ui = False
    params.cache_ram_mib = 0  # it would keep up to 8 GB of past conversations
    params.cache_idle_slots = False  # needs that cache
    params.verbosity = order["verbosity"]
    # Unless the question says otherwise: small models left to llama.cpp's own wander off and repeat themselves.
    params.sampling.temp = 0.3
    params.sampling.top_p = 0.9
    params.sampling.penalty_repeat = 1.1
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
