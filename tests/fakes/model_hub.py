"""A small real server like the Hugging Face hub, with a second one that stands for its CDN, and faults on demand.

It follows https://huggingface.co/docs/hub/api and what the library `huggingface_hub` 2.4 expects of the hub:
repositories with files by their hash, redirects to signed addresses on another origin, ranges, `X-Error-Code`.
That very library is the measure: tests/fakes/test_model_hub.py lets it download from here.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import ssl
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

from msgspec import Struct
from tests.fakes.byte_server import ByteServer, answer, read_request

FAULTS = {
    "cut": "closes after half of what was asked for",
    "stall": "sends half of what was asked for and then nothing, until the client goes away",
    "wrong": "sends bytes that are not the file's",
    "no-range": "ignores that only a part was asked for",
    "no-range-cut": "ignores that only a part was asked for, and closes after half",
    "other-range": "sends another part than was asked for",
    "short": "offers a file of another size",
    "encoded": "compresses without being asked",
    "expired": "says that the signed address is not valid any more",
    "hangup": "closes without an answer",
    "not-http": "answers in no language at all",
    "500": "is broken",
    "429": "has had too many requests, and says how long to wait",
    "429-long": "has had too many requests, and wants to be left alone for an hour",
    "html": "answers with a web page and status 200, as a network does that wants a login",
    "mute": "reads the request and never answers",
}

API_FAULTS = {"torn": "breaks off in the middle of its answer"}
"""Besides those that are the whole answer."""

COMMIT = "5f0b02c75b57c5855da9ae460ce51323ea669d8a"


class Asked(Struct, frozen=True):
    """A request that came."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]

    @property
    def range(self) -> str:
        return self.headers.get("range", "")


class Repository(Struct):
    """A repository.

    Attributes:
        files: content by path. lfs: paths whose content is not in git itself; None for all.
        gated: only who has been let in gets files. private: to everybody else it does not exist.
        moved: its new name.
        hashless: the API tells no SHA-256.
        sizes: what the API says of some files in place of the truth.
    """

    files: dict[str, bytes]
    lfs: frozenset[str] | None = None
    gated: bool = False
    private: bool = False
    moved: str = ""
    hashless: bool = False
    let_in: bool = True
    sizes: dict[str, int] = {}


class FakeHub:
    """The hub. Use `async with model_hub() as hub`.

    Attributes:
        url: what `HF_ENDPOINT` should be.
        repositories: by name.
        token: the one that is accepted; another is refused.
        faults: for the next requests for the content of files, one each; see `FAULTS`. None for none.
        api_faults: the same for the API; see `API_FAULTS`, too.
        pace: bytes that are sent before each rest of a hundredth of a second; 0 for no rests.
        requests: those to the hub. cdn_requests: those to its CDN.
        sent: bytes of files that the CDN has sent.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.repositories: dict[str, Repository] = {}
        self.token = ""
        self.faults: deque[str | None] = deque()
        self.api_faults: deque[str | None] = deque()
        self.pace = 0
        self.requests: list[Asked] = []
        self.cdn_requests: list[Asked] = []
        self.sent = 0
        self.half_sent = asyncio.Event()
        self.hub = ByteServer(self._serve_hub, host="localhost" if tls else "127.0.0.1", tls=tls)
        self.cdn = ByteServer(self._serve_cdn, host="localhost" if tls else "127.0.0.1", tls=tls)

    @property
    def url(self) -> str:
        return self.hub.url

    def add(self, name: str, files: dict[str, bytes] | Iterable[Path], **facts: object) -> Repository:
        """Make a repository of *files*: contents by path, or files on the disk."""
        contents = files if isinstance(files, dict) else {path.name: path.read_bytes() for path in files}
        made = self.repositories[name] = Repository(contents, **facts)  # type: ignore[arg-type]
        return made

    # -- the hub itself ---------------------------------------------------------------------------

    async def _serve_hub(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            asked = await _read(reader)
            self.requests.append(asked)
            fault = None
            if asked.path.startswith("/api/"):
                fault = self.api_faults.popleft() if self.api_faults else None
                if await _misbehaved(fault, reader, writer):
                    return
            told = self._answer(asked)
            if asked.method == "HEAD":
                told = told.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
            if fault == "torn":
                writer.write(told[:-20])
                return
            writer.write(told)
            await writer.drain()
            if asked.headers.get("connection", "").lower() == "close":
                return

    def _answer(self, asked: Asked) -> bytes:
        given = asked.headers.get("authorization", "").removeprefix("Bearer ")
        if given and given != self.token:
            return _error(401, "", "Invalid credentials in Authorization header")
        if asked.path == "/api/models":
            return self._search(asked)
        found = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?", asked.path)
        if found:
            return self._listing(found[1], unquote(found[2] or "main"), asked, bool(given))
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", asked.path)
        if found:
            return self._resolve(found[1], found[2], unquote(found[3]), asked, bool(given))
        return answer(b"<!doctype html>Not found", "content-type: text/html", status="404 Not Found")

    def _search(self, asked: Asked) -> bytes:
        words = asked.query["search"][0].lower()
        hits = [
            {"id": name, "modelId": name, "private": False, "tags": ["gguf"]}
            for name, repository in self.repositories.items()
            if words in name.lower() and any(path.endswith(".gguf") for path in repository.files)
        ]
        return _json(hits[: int(asked.query["limit"][0])])

    def _missing(self, known: bool) -> bytes:
        """Who is not logged in does not learn whether a repository exists."""
        message = "Repository not found"
        return _error(404, "RepoNotFound", message) if known else _error(401, "RepoNotFound", message)

    def _listing(self, name: str, revision: str, asked: Asked, known: bool) -> bytes:
        repository = self.repositories.get(name)
        if repository is None or (repository.private and not known):
            return self._missing(known)
        if repository.moved:
            return _redirect(307, asked.path.replace(name, repository.moved) + "?blobs=true")
        if revision not in ("main", COMMIT):
            return _error(404, "RevisionNotFound", "Invalid rev id")
        siblings = [self._sibling(repository, path, content) for path, content in repository.files.items()]
        return _json({"_id": "1", "id": name, "sha": COMMIT, "gated": repository.gated, "siblings": siblings})

    def _sibling(self, repository: Repository, path: str, content: bytes) -> dict[str, object]:
        size = repository.sizes.get(path, len(content))
        told: dict[str, object] = {"rfilename": path, "size": size}
        sha256 = hashlib.sha256(content).hexdigest()
        if repository.lfs is None or path in repository.lfs:
            pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(content)}\n"
            told["blobId"] = _git_hash(pointer.encode())
            if not repository.hashless:
                told["lfs"] = {"sha256": sha256, "size": size, "pointerSize": len(pointer)}
        else:
            told["blobId"] = _git_hash(content)
        return told

    def _resolve(self, name: str, revision: str, path: str, asked: Asked, known: bool) -> bytes:
        repository = self.repositories.get(name)
        if repository is None or (repository.private and not known):
            return self._missing(known)
        if repository.moved:
            return _redirect(307, asked.path.replace(name, repository.moved))
        if revision not in ("main", COMMIT):
            return _error(404, "RevisionNotFound", "Invalid rev id")
        if repository.gated and not (known and repository.let_in):
            return _error(403 if known else 401, "GatedRepo", f"Access to model {name} is restricted.")
        if path not in repository.files:
            return _error(404, "EntryNotFound", "Entry not found")
        content = repository.files[path]
        linked = f'x-linked-etag: "{hashlib.sha256(content).hexdigest()}"'
        return _redirect(
            302,
            f"{self.cdn.url}/{name}/{quote(path)}?Signature={len(self.requests)}",
            f"x-repo-commit: {COMMIT}",
            f"x-linked-size: {len(content)}",
            linked,
        )

    # -- its CDN ----------------------------------------------------------------------------------

    async def _serve_cdn(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await _read(reader)
        self.cdn_requests.append(asked)
        if "authorization" in asked.headers:
            writer.write(answer(b"only one way of authorisation", status="400 Bad Request"))
            return
        owner, name, path = asked.path.lstrip("/").split("/", 2)
        content = self.repositories[f"{owner}/{name}"].files[unquote(path)]
        fault = self.faults.popleft() if self.faults else None
        if not await _misbehaved(fault, reader, writer):
            await self._send(content, asked, fault or "", reader, writer)

    async def _send(
        self, content: bytes, asked: Asked, fault: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        size = len(content)
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.range)
        head = [
            "connection: close",
            f'etag: "{hashlib.md5(content, usedforsecurity=False).hexdigest()}"',
            "accept-ranges: bytes",
        ]
        status, start, end = "200 OK", 0, size
        if found and not fault.startswith("no-range"):
            start, end = int(found[1]), min(size, int(found[2] or size) + 1)
            if start >= size:
                writer.write(answer(b"", f"content-range: bytes */{size}", status="416 Range Not Satisfiable"))
                return
            if fault == "other-range":
                start = 0
            status = "206 Partial Content"
            head.append(f"content-range: bytes {start}-{end - 1}/{size}")
        body = content[start:end]
        if fault == "wrong":
            body = bytes(len(body) - 1) + b"!"
        if fault == "encoded":
            head.append("content-encoding: gzip")
        length = len(body) - 7 if fault == "short" else len(body)
        head.append(f"content-length: {length}")
        writer.write("\r\n".join([f"HTTP/1.1 {status}", *head]).encode() + b"\r\n\r\n")
        halved = fault in ("cut", "stall", "no-range-cut")
        await self._write(body[: length // 2] if halved else body[:length], writer)
        if halved:
            self.half_sent.set()
        if fault == "stall":
            await reader.read()  # until the client goes away

    async def _write(self, body: bytes, writer: asyncio.StreamWriter) -> None:
        step = self.pace or len(body) or 1
        for at in range(0, len(body), step):
            writer.write(body[at : at + step])
            await writer.drain()
            self.sent += len(body[at : at + step])
            if self.pace:
                await asyncio.sleep(0.01)


async def _misbehaved(fault: str | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Faults that are the whole answer."""
    whole = {
        "500": answer(b"oops", status="500 Internal Server Error"),
        "429": answer(b"", "retry-after: 0", status="429 Too Many Requests"),
        "429-long": answer(b"", "retry-after: 3600", status="429 Too Many Requests"),
        "expired": answer(b"<Error><Code>AccessDenied</Code></Error>", status="403 Forbidden"),
        "html": answer(b"<!DOCTYPE html><title>Welcome to the Wi-Fi</title>", "content-type: text/html"),
        "not-http": b"\x15\x03\x01\x00\x02\x02\x16",
        "hangup": b"",
    }
    if fault == "mute":
        await reader.read()
        return True
    if fault in whole:
        writer.write(whole[fault])
        await writer.drain()
        return True
    return False


async def _read(reader: asyncio.StreamReader) -> Asked:
    head, _ = await read_request(reader)
    line, *rest = head.decode("latin-1").split("\r\n")
    method, target, _ = line.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in rest if each)}
    parts = urlsplit(target)
    return Asked(method, parts.path, parse_qs(parts.query), headers)


def _json(body: object) -> bytes:
    return answer(json.dumps(body).encode(), "content-type: application/json; charset=utf-8")


def _error(status: int, code: str, message: str) -> bytes:
    told = [f"x-error-message: {message}", *([f"x-error-code: {code}"] if code else [])]
    body = json.dumps({"error": message}).encode()
    return answer(body, "content-type: application/json", *told, status=f"{status} X")


def _redirect(status: int, where: str, *headers: str) -> bytes:
    return answer(b"", f"location: {where}", *headers, status=f"{status} X")


def _git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0%s" % (len(content), content), usedforsecurity=False).hexdigest()


@asynccontextmanager
async def model_hub(tls: ssl.SSLContext | None = None) -> AsyncIterator[FakeHub]:
    """A hub on free loopback ports while the `with` lasts."""
    made = FakeHub(tls)
    async with made.hub, made.cdn:
        yield made
