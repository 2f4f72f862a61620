"""What a job says, shown as it comes: its text on standard output and nothing else there, so that pipes work."""

import asyncio
import json
import os
import sys
from typing import Any, TextIO

from rich.status import Status

from yeoul.commands.terminal import CANCELED, FAILED, console, plain, print_json, say
from yeoul.core.events.schemas import Event
from yeoul.core.jobs.schemas import JobOut


class NobodyReads(Exception):
    """Whoever read standard output has left."""


class Answer:
    """One job's answer. ``stream``: piece by piece; otherwise, and with ``as_json``, when it is whole."""

    def __init__(self, *, stream: bool = True, as_json: bool = False, out: TextIO | None = None) -> None:
        self._stream = stream and not as_json
        self._as_json = as_json
        self._out = out or sys.stdout
        self._last_text = 0
        self._ends_line = True
        self._waiting: Status | None = None
        words = console()
        if words.is_terminal:
            self._waiting = words.status("[dim]Waiting for the answer …[/]")
            self._waiting.start()

    async def take(self, event: Event) -> None:
        """Shows an event; raises ``NobodyReads``."""
        data: dict[str, Any] = json.loads(event.data)
        match event.type:
            case "queued" if self._waiting is not None and data["position"] > 1:
                self._waiting.update(f"[dim]Waiting in the queue, place {data['position']} …[/]")
            case "text" if self._stream:
                self._last_text = event.seq or 0
                await self._write(data["delta"])
            case "retrying":
                self._say_again(data)
            case "progress" if self._waiting is not None and data.get("message"):
                self._waiting.update(f"[dim]{plain(data['message']).replace('[', '(')} …[/]")

    def note(self, text: str, style: str | None = "dim") -> None:
        """Says something beside the answer, on a line of its own."""
        self._stop_waiting()
        if not self._ends_line and self._out.isatty():
            self._out.write("\n")
            self._out.flush()
            self._ends_line = True
        say(text, style)

    async def end(self, job: JobOut) -> int:
        """Shows how the job ended, and gives the exit code."""
        self._stop_waiting()
        if self._as_json:
            print_json(job.model_dump(mode="json"))
        elif job.status == "succeeded":
            await self._end_well(job.output or {})
        if job.status == "succeeded":
            return 0
        if job.status == "canceled":
            self.note("Canceled.")
            return CANCELED
        why = job.error.message if job.error is not None else "nobody knows why"
        self.note(f"Failed: {why}\nThe job is kept: yeoul jobs show {job.id}", "red")
        return FAILED

    def close(self) -> None:
        """Leaves the terminal as it was."""
        self._stop_waiting()

    async def _end_well(self, output: dict[str, Any]) -> None:
        text = output.get("text")
        if not self._last_text:
            await self._write(text if isinstance(text, str) else json.dumps(output, indent=2, ensure_ascii=False))
        if not self._ends_line:
            await self._write("\n")
        if output.get("finish_reason") == "length":
            self.note("The answer stops at the limit of tokens; --max-tokens sets it.", "yellow")
        if console().is_terminal and (summary := _summary(output)):
            self.note(summary)

    def _say_again(self, data: dict[str, Any]) -> None:
        why = (data.get("error") or {}).get("message", "The attempt ended").rstrip(".") + "."
        void = self._last_text > data["void_after"]
        seconds = data.get("in_seconds") or 0
        again = f"Trying again in {seconds:.1f} s." if seconds else "Trying again."
        self.note(f"{why} {'The text so far is void. ' if void else ''}{again}", "yellow")

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.stop()
            self._waiting = None

    async def _write(self, text: str) -> None:
        self._stop_waiting()
        if text:
            # In a thread: a reader that pauses must not hold up the heartbeat of a worker in this process.
            await asyncio.to_thread(self._write_now, plain(text) if self._out.isatty() else text)
            self._ends_line = text.endswith("\n")

    def _write_now(self, text: str) -> None:
        try:
            self._out.write(text)
            self._out.flush()
        except BrokenPipeError:
            # What is left in the buffer has nowhere to go; Python would complain about it at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._out.fileno())
            raise NobodyReads from None


def _summary(output: dict[str, Any]) -> str:
    words = [str(output["model"])] if output.get("model") else []
    if usage := output.get("usage"):
        words.append(f"{usage['input_tokens']} tokens in, {usage['output_tokens']} out")
    if output.get("time_ms") is not None:
        words.append(f"{output['time_ms'] / 1000:.1f} s")
    usd = (output.get("cost") or {}).get("usd")
    if usd is not None and float(usd):
        words.append(f"${usd}")
    return " · ".join(words)
