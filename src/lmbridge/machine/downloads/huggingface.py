"""The Hugging Face hub as far as models are fetched from it: what a repository holds, a search, the files.

Facts: https://huggingface.co/docs/hub/api and the client library `huggingface_hub` 2.4 (`hf_api.model_info`,
`file_download`, `utils/_http.hf_raise_for_status`):

- `GET /api/models/OWNER/NAME/revision/REV?blobs=true`: the commit and all files with sizes and, for large
  files, the SHA-256 of their content (`lfs.sha256`).
- `GET /OWNER/NAME/resolve/COMMIT/PATH`: the file, usually by a redirect to another host with a signed address that
  lasts for an hour or so. The token must not go there. Renamed repositories redirect within the hub.
- An error says more in `X-Error-Code` than in its status: 401 may mean that a repository does not exist.
- The hosts behind it refuse to send more than 50 GB in one answer; a range of more can be asked for in pieces.

Everything here blocks; it runs in a process of its own.
"""

from __future__ import annotations

import http.client
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, TypeVar
from urllib.parse import quote, urlencode, urljoin, urlsplit

import msgspec
from msgspec import Struct

from lmbridge.core.errors import BridgeError, DownloadFailed, ModelNotFound, ProviderUnavailable
from lmbridge.machine.downloads.choice import RemoteFile
from lmbridge.machine.downloads.connections import Connections, Interrupted, Reply
from lmbridge.machine.downloads.order import Account, Limits
from lmbridge.version import __version__

MAX_REDIRECTS: Final = 10
_IN_ADDRESSES: Final = "%/:?#[]@!$&'()*+,;=~"
MAX_ANSWER: Final = 64 * 2**20
"""Most bytes of an answer of the API; the largest repositories have some MiB of file names."""
SUGGESTIONS: Final = 5
MAX_ATTEMPTS: Final = 3
"""To learn what there is: who waits for that sees nothing happen."""

T = TypeVar("T")


class Repository(Struct, frozen=True):
    """What a repository holds.

    Attributes:
        id: `owner/name` as the hub writes it. commit: the state that was looked at.
    """

    id: str
    commit: str
    files: tuple[RemoteFile, ...]


class _Lfs(Struct):
    sha256: str = ""
    size: int | None = None


class _Sibling(Struct, rename={"blob_id": "blobId"}):
    rfilename: str
    size: int | None = None
    blob_id: str = ""
    lfs: _Lfs | None = None


class _ModelAnswer(Struct):
    id: str
    sha: str
    siblings: list[_Sibling] = []


class _Hit(Struct):
    id: str


class HuggingFace:
    """Asks the hub.

    Arguments:
        asked: the name that the user gave, for errors.
    """

    def __init__(self, account: Account, limits: Limits, asked: str) -> None:
        self._account, self._limits, self._asked = account, limits, asked
        self._connections = Connections(limits)
        self._page = account.endpoint
        self.host = urlsplit(account.endpoint).netloc

    def repository(self, name: str, revision: str) -> Repository:
        """What repository *name* holds.

        Raises:
            ModelNotFound: there is none, or none for us. DownloadFailed, ProviderUnavailable.
        """
        self._page = f"{self._account.endpoint}/{name}"
        path = f"/api/models/{name}/revision/{quote(revision, safe='')}?blobs=true"
        answer = self._decoded(path, _ModelAnswer)
        files = (_remote_file(sibling) for sibling in answer.siblings)
        return Repository(answer.id, answer.sha, tuple(files))

    def search(self, words: str) -> tuple[str, ...]:
        """Repositories with GGUF files, those that most people download first; () where searching fails."""
        query = {"search": words, "filter": "gguf", "sort": "downloads", "direction": "-1", "limit": SUGGESTIONS}
        try:
            return tuple(hit.id for hit in self._decoded(f"/api/models?{urlencode(query)}", list[_Hit]))
        except BridgeError:
            return ()

    @contextmanager
    def open(self, repository: Repository, path: str, start: int, end: int, size: int) -> Iterator[Reply]:
        """The bytes from *start* to before *end* of a file of *size* bytes; a server may send the whole instead.

        Raises:
            Interrupted: it may work the next time. DownloadFailed, ModelNotFound: it will not.
        """
        url = f"{self._account.endpoint}/{repository.id}/resolve/{quote(repository.commit, safe='')}/{quote(path)}"
        headers = {} if (start, end) == (0, size) else {"Range": f"bytes={start}-{end - 1}"}
        reply = self._ask(url, headers)
        try:
            yield reply
        finally:
            reply.close()

    def patiently(self, call: Callable[[], T]) -> T:
        """What *call* returns; one that is interrupted is made again, as often as the limits allow.

        Raises:
            ProviderUnavailable: the hub cannot be reached at all, which is told at once. DownloadFailed.
        """
        attempts = min(self._limits.attempts, MAX_ATTEMPTS)
        for attempt in range(1, attempts + 1):
            try:
                return call()
            except Interrupted as interruption:
                if not interruption.reached:
                    raise self.unreachable(interruption.reason) from interruption
                if attempt == attempts:
                    raise DownloadFailed(self._asked, interruption.reason) from interruption
                self.pause(attempt, interruption)
        raise AssertionError  # there is at least one attempt

    def pause(self, attempt: int, interruption: Interrupted) -> None:
        """Wait before the attempt after number *attempt*, as long as the server asks for, within the limits."""
        wait = self._limits.pause * 2 ** (attempt - 1) if interruption.wait is None else interruption.wait
        if wait > self._limits.longest and interruption.wait is not None:
            reason = f"{interruption.reason}, and wants to be left alone for {wait:.0f} s"
            raise DownloadFailed(self._asked, reason, hint="Try again later.") from interruption
        time.sleep(min(wait, self._limits.longest))

    def unreachable(self, reason: str) -> ProviderUnavailable:
        """The error for a hub that cannot be reached."""
        return ProviderUnavailable(
            self.host,
            reason,
            hint="Check the network. HTTPS_PROXY names a proxy, HF_ENDPOINT a mirror of the hub.",
        )

    # -- one request ------------------------------------------------------------------------------

    def _decoded(self, path: str, kind: type[T]) -> T:
        def ask() -> T:
            reply = self._ask(self._account.endpoint + path, {"Accept": "application/json"})
            try:
                body = reply.read(MAX_ANSWER + 1)
                if reply.length and len(body) <= MAX_ANSWER:
                    raise http.client.IncompleteRead(body, reply.length)
            except (OSError, http.client.HTTPException) as error:
                raise Interrupted(f"{self.host} broke off its answer") from error
            finally:
                reply.close()
            try:
                return msgspec.json.decode(body, type=kind)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                seen = reply.headers.get_content_type()
                reason = f"it does not answer as the Hugging Face hub does ({seen})"
                raise self.unreachable(reason) from error

        return self.patiently(ask)

    def _ask(self, url: str, headers: Mapping[str, str]) -> Reply:
        """The successful answer to a request, redirects followed, the token shown to the hub alone."""
        for _ in range(MAX_REDIRECTS):
            request = urllib.request.Request(url, headers=dict(headers))  # noqa: S310  # see _redirected
            request.add_header("User-Agent", f"lmbridge/{__version__}")
            request.add_header("Accept-Encoding", "identity")
            if self._account.token and _origin(url) == _origin(self._account.endpoint):
                request.add_unredirected_header("Authorization", f"Bearer {self._account.token}")
            reply = self._connections.send(request)
            if reply.status in (301, 302, 303, 307, 308):
                url = self._redirected(url, reply)
                continue
            if reply.status in (200, 206):
                return reply
            with reply:
                raise self._refusal(reply, url)
        raise DownloadFailed(self._asked, f"{self.host} redirects in a circle")

    def _redirected(self, url: str, reply: Reply) -> str:
        """Where a redirect leads. From https to https only: what it leads to is not ours to choose."""
        reply.close()
        # Headers come as Latin-1; some servers leave letters in them that should have been encoded.
        location = reply.headers.get("Location", "").encode("latin-1", "replace")
        target = urljoin(url, quote(location, safe=_IN_ADDRESSES))
        parts = urlsplit(target)
        secure = urlsplit(self._account.endpoint).scheme == "https"
        if (parts.scheme != "https" and (secure or parts.scheme != "http")) or not parts.hostname:
            raise DownloadFailed(self._asked, f"{self.host} redirects to where nothing is fetched from")
        return target

    def _refusal(self, reply: Reply, url: str) -> Exception:
        """What an unsuccessful answer means."""
        status, code = reply.status, reply.headers.get("X-Error-Code", "")
        host = urlsplit(url).netloc
        if status in (408, 425, 429) or status >= 500:
            told = "too many requests" if status == 429 else f"status {status}"
            return Interrupted(f"{host} answers: {told}", wait=_seconds(reply.headers.get("Retry-After")))
        if status == 416:
            return Interrupted(f"{host} has less of the file than it said")
        if _origin(url) != _origin(self._account.endpoint):
            # An address that has expired is the usual reason; the next attempt gets a fresh one.
            return Interrupted(f"{host} answers: status {status}")
        said = reply.headers.get("X-Error-Message", "")
        if code == "GatedRepo" or (status == 403 and code not in ("RepoNotFound", "EntryNotFound")):
            return self._gated()
        if said == "Invalid credentials in Authorization header" or (
            status == 401 and self._account.token and not code
        ):
            return DownloadFailed(
                self._asked,
                f"{self.host} does not accept the token",
                hint=f"Correct HF_TOKEN: {self._account.endpoint}/settings/tokens shows yours.",
            )
        if code == "EntryNotFound":
            return DownloadFailed(self._asked, f"{self.host} has lost one of its files")
        if code == "RevisionNotFound":
            return DownloadFailed(
                self._asked, "its repository has no such revision", hint="Leave the revision out."
            )
        if status in (401, 404) or code == "RepoNotFound":
            return self.missing(())
        return DownloadFailed(self._asked, f"{host} answers: status {status}")

    def missing(self, known: tuple[str, ...], *, hint: str = "") -> ModelNotFound:
        """The error for a repository that is not there, or not for us: the hub does not tell which.

        Arguments:
            hint: what to say when nothing like it is *known*, of a name that can be none of a repository.
        """
        private = not hint and not self._account.token
        hint = suggestion(known) if known or not hint else hint
        if private:
            hint += " If it is private, set HF_TOKEN to a token of yours."
        return ModelNotFound(self._asked, known, where=self.host, hint=hint)

    def _gated(self) -> DownloadFailed:
        if self._account.token:
            reason, then = "its owner has not let in the account of this HF_TOKEN", ""
        else:
            reason = "its owner lets in only who has agreed to the terms, and nobody is logged in"
            then = f", then set HF_TOKEN to a token of {self._account.endpoint}/settings/tokens"
        return DownloadFailed(self._asked, reason, hint=f"Agree to them at {self._page}{then}.")


def suggestion(known: tuple[str, ...]) -> str:
    """What to try instead."""
    return (
        f"These have GGUF files: {', '.join(known)}." if known else "Search the hub for one that has GGUF files."
    )


def _remote_file(sibling: _Sibling) -> RemoteFile:
    lfs = sibling.lfs
    size = lfs.size if lfs is not None and lfs.size is not None else sibling.size
    return RemoteFile(sibling.rfilename, size or 0, lfs.sha256.lower() if lfs is not None else "", sibling.blob_id)


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdecimal() else None
