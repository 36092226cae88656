from __future__ import annotations

import asyncio
from typing import cast

from tests.doors.gateway.asking import until

from lmbridge.core.turns import Wait
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
        heart.reading(0.25)
        await until(lambda: ": reading prompt 25%\n\n" in wire.text)
        heart.queued(3)
        await until(lambda: ": waiting for a turn, 3 before you\n\n" in wire.text)
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


def told(wait: Wait) -> bytes:
    return f"{wait.phase} {wait.position} {wait.progress:g};".encode()


async def test_an_eager_stream_begins_at_once_and_tells_every_change_in_its_own_form() -> None:
    wire = Wire()
    asked = request(wire)
    async with Heartbeat(asked, 60, told, eager=True, media=b"text/x-test") as heart:
        await until(lambda: wire.text == "queued 0 0;")
        assert (b"content-type", b"text/x-test") in wire.sent[0]["headers"]
        heart.queued(2)
        heart.loading(0.5)
        await until(lambda: wire.text == "queued 0 0;queued 2 0;loading 0 0.5;")


async def test_changes_too_small_to_see_are_not_told_until_they_add_up() -> None:
    wire = Wire()
    async with Heartbeat(request(wire), 60, told, eager=True) as heart:
        for step in range(1, 41):
            heart.loading(step / 2000)
        heart.loading(1.0)
        heart.loading(1.0)
    progress = [float(each.split()[2]) for each in wire.text.split(";") if "loading" in each]
    assert len(progress) == 3
    assert progress[-1] == 1.0


async def test_changes_before_the_first_turn_of_an_eager_stream_are_not_lost() -> None:
    wire = Wire()
    async with Heartbeat(request(wire), 60, told, eager=True) as heart:
        heart.reading(0.5)
        await heart.stop()
    assert wire.sent[0]["status"] == 200
    assert wire.text == "prompt 0 0.5;"


async def test_a_language_without_signs_sends_none() -> None:
    wire = Wire()
    asked = request(wire)
    async with Heartbeat(asked, 0.001, lambda wait: b"", eager=True) as heart:
        await until(lambda: asked.started)
        heart.loading(0.5)
    assert wire.text == ""
