"""The server that `lms` talks to: `/lms-status` as it really is, the rest made up for the fake's own command.

The real one speaks websockets there; nothing but `lms` should use it. It runs as long as the fake does, with or
without the REST server.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import TYPE_CHECKING, Any

from tests.fakes.byte_server import ByteServer
from tests.fakes.lmstudio import home
from tests.fakes.lmstudio.http import Connection, Request, Whole, encoded
from tests.fakes.lmstudio.models import Body, FakeModel, command_model
from tests.fakes.lmstudio.refusals import Refusal
from tests.fakes.lmstudio.runtime import FakeInstance

if TYPE_CHECKING:
    from tests.fakes.lmstudio.server import FakeLMStudio


class Control:
    """Answers the fake's `lms`. *shutdown*: set when it wants the whole program to end."""

    def __init__(self, fake: FakeLMStudio) -> None:
        self._fake = fake
        self.server = ByteServer(self._serve)
        self.shutdown = asyncio.Event()

    def note(self) -> None:
        """Tell in the home folder where this server is."""
        where = {"host": "127.0.0.1", "pid": os.getpid(), "port": self.server.port}
        home.write(self._fake.home / home.SDK_SERVER, where)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        while (request := await connection.request(60)) is not None:
            self._fake.stir()
            if request.route in ("POST /fake/load", "POST /fake/log"):
                await connection.head(
                    200, {"Content-Type": "application/x-ndjson", "Transfer-Encoding": "chunked"}
                )
                await self._lines(request, connection)
                await connection.send(b"0\r\n\r\n")
                continue
            try:
                answer = Whole(200, await self._answer(request))
            except Refusal as refusal:
                answer = Whole(refusal.status, refusal.body)
            await connection.whole(answer)

    async def _lines(self, request: Request, connection: Connection) -> None:
        """What takes its time is answered line by line."""

        async def line(body: Body) -> None:
            if connection.gone:
                raise ConnectionResetError
            await connection.chunk(encoded(body, None) + b"\n")

        if request.path == "/fake/log":
            await self._log(request.fields, connection, line)
            return
        try:
            instance = await self._load(request.fields, lambda part: line({"progress": part}))
        except Refusal as refusal:
            await line(refusal.body)
        else:
            await line({"identifier": instance.id, "sizeBytes": instance.model.size_bytes})

    async def _load(self, wanted: Body, told: Any) -> FakeInstance:
        runtime = self._fake.runtime
        model = runtime.on_disk(wanted["key"])
        assert model is not None
        instance = await runtime.load(model, wanted["options"], wanted.get("identifier", ""), told)
        instance.ttl = wanted.get("ttl")
        return instance

    async def _log(self, wanted: Body, connection: Connection, line: Any) -> None:
        """Records as they come; now and then it looks whether anybody still reads."""
        queue: asyncio.Queue[Body] = asyncio.Queue()
        self._fake.listeners.append(queue)
        try:
            await line({"listening": True})
            while not connection.gone:
                try:
                    async with asyncio.timeout(0.2):
                        record = await queue.get()
                except TimeoutError:
                    continue
                if record["data"]["type"].startswith(wanted["kind"]):
                    await line(record)
        finally:
            self._fake.listeners.remove(queue)

    async def _answer(self, request: Request) -> Any:
        fake, runtime, body = self._fake, self._fake.runtime, request.fields
        match request.route:
            case "GET /lms-status":
                version = ".".join(map(str, fake.version)) if fake.kind == "app" else "0.0.20"
                return {"package": fake.kind, "version": f"{version}+1"}
            case "GET /fake/core":
                return {"pid": os.getpid(), "isDaemon": fake.kind == "llmster"}
            case "GET /fake/models":
                return [command_model(model) for model in runtime.models]
            case "GET /fake/instances":
                ordered = [*runtime.loaded("llm"), *runtime.loaded("embedding")]
                return [self._instance(each) for each in ordered]
            case "POST /fake/unload":
                return {"unloaded": runtime.unload(body["identifier"])}
            case "POST /fake/get":
                found = runtime.download(body["name"])
                return {} if isinstance(found, FakeModel) else {"job": found.id}
            case "POST /fake/step":
                job = runtime.downloads[body["job"]]
                runtime.step(job)
                total = job.model.size_bytes
                return {"status": job.status, "done": job.done_bytes, "total": total, "wait": fake.step_s}
            case "POST /fake/start":
                return await self._start(body)
            case "POST /fake/stop":
                await fake.stop()
                return {}
            case "POST /fake/shutdown":
                self.shutdown.set()
                return {}
            case _:
                raise Refusal(404, {"error": "unknown"})

    async def _start(self, wanted: Body) -> Body:
        fake = self._fake
        await fake.stop()
        fake.cors = wanted["cors"]
        home.configure(fake.home, port=wanted["port"], cors=wanted["cors"], networkInterface=wanted["bind"])
        try:
            await fake.start(wanted["port"], wanted["bind"])
        except OSError as error:
            return {"problem": error.strerror or str(error)}
        return {}

    def _instance(self, instance: FakeInstance) -> Body:
        """An entry of `lms ps --json`."""
        body = command_model(instance.model)
        tail = {
            name: body.pop(name) for name in ("vision", "trainedForToolUse", "maxContextLength") if name in body
        }
        used = int((time.time() - (self._fake.runtime.now - instance.last_used)) * 1000)
        body |= {"identifier": instance.id, "ttlMs": None if instance.ttl is None else int(instance.ttl * 1000)}
        body |= {"lastUsedTime": used, **tail, "contextLength": instance.context_length}
        parallel = instance.parallel if instance.model.kind == "llm" else None
        return body | {"status": instance.status, "queued": instance.queued, "parallel": parallel}


def log_record(kind: str, **fields: object) -> Body:
    """A record of `lms log stream`."""
    return json.loads(json.dumps({"timestamp": int(time.time() * 1000), "data": {"type": kind, **fields}}))
