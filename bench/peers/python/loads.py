"""Runs loads on an engine that computes step by step: the Python side of ../protocol.ts.

A line of JSON in each direction. Conversations begin in order, `concurrency` at a time; a client
sends its next turn when the last one has ended.
"""

import json
import os
import sys
import time
from dataclasses import dataclass, field
from typing import Protocol


@dataclass
class Request:
    """A turn that is computed."""

    conversation: int
    turn: int
    prompt: list[int]
    max_tokens: int
    due_ms: float
    output_ms: list[float] = field(default_factory=list)
    tokens: int = 0


class Engine(Protocol):
    def add(self, request: Request) -> None:
        """Takes a request; it is computed by the next steps."""

    def step(self) -> list[tuple[Request, int]]:
        """Computes a step. Returns who got how many tokens."""


def run(load: dict, engine: Engine) -> dict:
    start = time.perf_counter()

    def now() -> float:
        return 1000 * (time.perf_counter() - start)

    conversations = load["conversations"]
    waiting = iter(range(len(conversations)))
    running: set[int] = set()
    turns = []

    def send(conversation: int, turn: int, due_ms: float) -> None:
        wanted = conversations[conversation][turn]
        running.add(conversation)
        engine.add(Request(conversation, turn, wanted["prompt"], wanted["maxTokens"], due_ms))

    def begin(due_ms: float) -> None:
        conversation = next(waiting, None)
        if conversation is not None:
            send(conversation, 0, due_ms)

    for _ in range(load["concurrency"]):
        begin(0)
    while running:
        stepped = engine.step()
        at = now()
        for request, count in stepped:
            request.output_ms.append(at)
            request.tokens += count
            if request.tokens < request.max_tokens:
                continue
            turns.append(
                {
                    "conversation": request.conversation,
                    "turn": request.turn,
                    "dueMs": request.due_ms,
                    "outputMs": request.output_ms,
                    "endMs": at,
                    "tokens": request.tokens,
                }
            )
            running.discard(request.conversation)
            if request.turn + 1 < len(conversations[request.conversation]):
                send(request.conversation, request.turn + 1, at)
            else:
                begin(at)
    return {"turns": turns, "serial": False}


def say(message: dict) -> None:
    # (A line that libraries have begun must not swallow it.)
    sys.stdout.write("\n" + json.dumps(message) + "\n")
    sys.stdout.flush()


def serve(about: str, began: float, engine: Engine) -> None:
    """Runs each load that comes in, until the input ends.

    began: before the engine's code was loaded, by `time.perf_counter()`
    """
    ready_ms = 1000 * (time.perf_counter() - began)
    say({"type": "ready", "about": about, "pid": os.getpid(), "readyMs": ready_ms})
    for line in sys.stdin:
        try:
            say({"type": "outcome", "outcome": run(json.loads(line), engine)})
        except Exception as error:  # The other side prints it, and ends.
            say({"type": "failed", "message": repr(error)})
