from __future__ import annotations

import asyncio
from typing import cast

from tests.doors.gateway.asking import until

from lmbridge.doors.gateway.asgi import CONNECTION, Message, Request
from lmbridge.doors.gateway.heartbeat import Heartbeat


class Wire:
    """Takes down what is sent."""

    lost = False
    on_lost = None

    def __init__(self) -> None:
        self.sent: list[Message] = []

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def receive(self) -> Message:
        raise AssertionError("a heartbeat reads nothing")

    @property
    def text(self) -> str:
        return b"".join(cast("bytes", m.get("body", b"")) for m in self.sent).decode()


def request(wire: Wire) -> Request:
    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], CONNECTION: wire}
    return Request(scope, wire.receive, wire.send)


async def test_nothing_is_sent_when_the_answer_comes_soon() -> None:
    wire = Wire()
    async with Heartbeat(request(wire), 60) as heart:
        heart.loading(0.5)
    assert wire.sent == []


async def test_signs_follow_the_phase_and_end_with_the_wait() -> None:
    wire = Wire()
    asked = request(wire)
    async with Heartbeat(asked, 0.001) as heart:
        await until(lambda: ": waiting for a turn\n\n" in wire.text)
        heart.loading(0.4)
        await until(lambda: ": loading model 40%\n\n" in wire.text)
        heart.phase = "reading prompt"
        await until(lambda: ": reading prompt\n\n" in wire.text)
        await heart.stop()
        sent = len(wire.sent)
        await asyncio.sleep(0.01)
    assert len(wire.sent) == sent
    assert asked.streaming
    assert wire.sent[0]["status"] == 200


async def test_an_error_inside_ends_the_signs() -> None:
    wire = Wire()
    try:
        async with Heartbeat(request(wire), 0.001):
            await until(lambda: bool(wire.sent))
            raise ValueError
    except ValueError:
        sent = len(wire.sent)
    await asyncio.sleep(0.01)
    assert len(wire.sent) == sent
