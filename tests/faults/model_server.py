"""A model behind HTTP, in a process of its own that may be killed: speaks OpenAI's chat completions, as a stream.

``python model_server.py PORT`` needs nothing but Python. It says ``5 words, 20 ms`` as the prompt asks, and prints a
line of JSON when a request comes (``asked``), is answered (``done``), or is given up by its client (``gone``).
"""

import asyncio
import contextlib
import json
import re
import sys
import time


def _tell(what: str, prompt: str) -> None:
    print(json.dumps({"what": what, "prompt": prompt, "at": time.time()}), flush=True)  # noqa: T201


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
    body = json.loads(await reader.readexactly(int(length[1]))) if length else {}
    prompt = str(body["messages"][-1]["content"])
    words = int(found[1]) if (found := re.search(r"(\d+) words", prompt)) else 5
    pause = float(found[1]) / 1000 if (found := re.search(r"(\d+) ms", prompt)) else 0.02
    _tell("asked", prompt)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")

    async def speak() -> None:
        for number in range(1, words + 1):
            await asyncio.sleep(pause)
            await _piece(writer, {"content": f"word{number} "})
        await _piece(writer, {}, "stop")
        writer.write(b"data: [DONE]\n\n")
        await writer.drain()

    speaking = asyncio.ensure_future(speak())
    hanging_up = asyncio.ensure_future(reader.read(1))  # a client that waits for its answer sends nothing
    await asyncio.wait({speaking, hanging_up}, return_when=asyncio.FIRST_COMPLETED)
    gone = hanging_up.done() and not speaking.done()
    _tell("gone" if gone or speaking.exception() else "done", prompt)
    for task in (speaking, hanging_up):
        task.cancel()


async def _piece(writer: asyncio.StreamWriter, delta: dict[str, str], finish: str | None = None) -> None:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    said = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
    writer.write(f"data: {json.dumps(said)}\n\n".encode())
    await writer.drain()


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        await _answer(reader, writer)
    writer.close()


async def _main(port: int) -> None:
    async with await asyncio.start_server(_serve, "127.0.0.1", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
