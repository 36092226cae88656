"""API keys: made once, shown once, stored as digests.

The ring is a small JSON file that only its owner can read. Several processes share it (the command line
makes and revokes keys while a gateway runs): writers take a lock file and replace the ring in one step,
readers look at most once a second whether it changed. A key is 160 random bits or more, so a plain SHA-256
of it cannot be searched; a slow password hash would only make every request slow.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import string
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

import msgspec
from msgspec import Struct

from lmbridge.core.errors import ConfigInvalid, InvalidRequest, NoSpace

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

Scope: TypeAlias = Literal["infer", "models", "admin"]
"""What a key is good for: asking models, changing which are here and in memory, looking after the gateway."""

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
PREFIX = "lmb-"
LETTERS: Final = string.ascii_letters + string.digits
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@ -]{0,63}")


class KeyInfo(Struct, frozen=True):
    """What may be shown of a key.

    Attributes:
        id: eight hexadecimal digits; names the key where its name will not do.
        created, last_used: seconds since 1970; last_used is 0 for a key that was never used.
        scopes: what it is good for. expires: seconds since 1970, 0 for never.
    """

    id: str
    name: str
    created: float
    last_used: float = 0.0
    scopes: tuple[Scope, ...] = SCOPES
    expires: float = 0.0

    def expired(self, now: float) -> bool:
        """Whether its time is over at *now*, in seconds since 1970."""
        return 0 < self.expires <= now


class _Stored(Struct, frozen=True):
    id: str
    name: str
    sha256: str
    created: float
    last_used: float = 0.0
    scopes: tuple[Scope, ...] = SCOPES  # a ring written before there were any has none: its keys stay good for all
    expires: float = 0.0

    @property
    def info(self) -> KeyInfo:
        return KeyInfo(self.id, self.name, self.created, self.last_used, self.scopes, self.expires)


class _RingFile(Struct, frozen=True):
    keys: tuple[_Stored, ...] = ()


class KeyRing:
    """The keys of one home folder.

    Args:
        path: the ring's file; it and its folder are made with the first key.
        recheck_s: how long `verify` may trust what it read before it looks at the file again.

    Raises:
        ConfigInvalid: from every method but `verify`, when the file is there and is not a key ring.
        NoSpace: from every method that writes.
    """

    def __init__(self, path: Path, *, recheck_s: float = 1.0) -> None:
        self.path = path
        self._recheck_s = recheck_s
        self._look_again = 0.0
        self._signature: tuple[int, int, int] | None = None
        self._known: list[tuple[bytes, KeyInfo]] = []
        self._used: dict[str, float] = {}

    def create(
        self,
        name: str,
        *,
        scopes: Sequence[Scope] = SCOPES,
        expires: float = 0.0,
        lmstudio_form: bool = False,
    ) -> str:
        """Make a key and return it. This is the only time it can be seen.

        Args:
            name: for people; letters, digits, space and `._@-`, at most 64, not in use.
            scopes: what it is to be good for. expires: seconds since 1970, 0 for never.
            lmstudio_form: write it as LM Studio writes its tokens, for clients that insist on that.

        Raises:
            InvalidRequest: the name is not usable, there is no scope, or the time is over already.
        """
        _check(name, scopes, expires)
        key = _lmstudio_form() if lmstudio_form else PREFIX + secrets.token_urlsafe(32)
        with self._locked():
            stored = self._read()
            if any(name in (old.name, old.id) for old in stored):
                raise InvalidRequest(
                    f"There is a key named {name!r} already.",
                    hint=f"Choose another name, or `lmbridge keys revoke {name}` first.",
                    param="name",
                )
            new = _Stored(
                secrets.token_hex(4),
                name,
                sha256(key.encode()).hexdigest(),
                time.time(),
                scopes=tuple(scope for scope in SCOPES if scope in scopes),
                expires=expires,
            )
            self._write((*stored, new))
        return key

    def list(self) -> list[KeyInfo]:
        """The keys there are, oldest first."""
        return [stored.info for stored in self._read()]

    def revoke(self, name_or_id: str) -> KeyInfo:
        """Make a key useless, at once and in every process.

        Raises:
            InvalidRequest: there is no such key.
        """
        with self._locked():
            stored = self._read()
            gone = [old for old in stored if name_or_id in (old.name, old.id)]
            if not gone:
                raise InvalidRequest(
                    f"There is no key {name_or_id!r}.", hint="`lmbridge keys list` shows them.", param="name"
                )
            self._write(tuple(old for old in stored if old not in gone))
        return gone[0].info

    def verify(self, presented: str) -> KeyInfo | None:
        """Whose key this is; None when it is nobody's. Whether it is expired is for the caller to see.

        Cheap enough for every request: one digest, one comparison for each key, no file touched more
        often than `recheck_s`. A ring that can no longer be read knows no key.
        """
        now = time.monotonic()
        if now >= self._look_again:
            self._look_again = now + self._recheck_s
            self._refresh()
        digest = sha256(presented.encode("utf-8", "replace")).digest()
        found = None
        for known, info in self._known:
            # No early end: how long it takes must not tell which key is near.
            if compare_digest(known, digest):
                found = info
        if found is not None and not found.expired(now := time.time()):
            self._used[found.id] = now
        return found

    def flush(self) -> None:
        """Write down when keys were last used. Keys revoked meanwhile stay revoked."""
        if not self._used:
            return
        used, self._used = self._used, {}
        with self._locked():
            stored = self._read()
            self._write(
                tuple(
                    msgspec.structs.replace(key, last_used=max(key.last_used, used.get(key.id, 0.0)))
                    for key in stored
                )
            )

    def _refresh(self) -> None:
        try:
            stat = self.path.stat()
        except OSError:
            self._signature, self._known = None, []
            return
        signature = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if signature == self._signature:
            return
        self._signature = signature
        try:
            self._known = [(bytes.fromhex(key.sha256), key.info) for key in self._read()]
        except (ConfigInvalid, ValueError):
            self._known = []

    def _read(self) -> tuple[_Stored, ...]:
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=_RingFile).keys
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise ConfigInvalid(
                str(self.path),
                f"it cannot be read ({error.strerror})",
                hint=f"It must be a file that you may read and write: `ls -ld {self.path}` shows whose it is.",
            ) from error
        except msgspec.DecodeError as error:
            raise ConfigInvalid(
                str(self.path),
                f"not a readable key ring ({error})",
                hint="Remove the file and create the keys again.",
            ) from error

    def _write(self, stored: tuple[_Stored, ...]) -> None:
        """Replace the ring in one step: a crash leaves the old or the new one, never a piece."""
        fresh = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(_RingFile(stored)), indent=2))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
        except BaseException as error:
            fresh.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                raise NoSpace(str(self.path)) from error
            raise

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time over all processes; the system frees the lock of one that died."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.path.with_name(f"{self.path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if sys.platform == "win32":
                msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
            else:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _check(name: str, scopes: Sequence[Scope], expires: float) -> None:
    """Whether a key can be made so; raises InvalidRequest."""
    if not NAME.fullmatch(name):
        raise InvalidRequest(
            f"{name!r} cannot be the name of a key.",
            hint="Use 1 to 64 letters, digits, spaces or `._@-`, beginning with a letter or digit.",
            param="name",
        )
    if not scopes or (strange := set(scopes) - set(SCOPES)):
        said = f"There is no scope {min(strange)!r}" if scopes else "A key without a scope is good for nothing"
        raise InvalidRequest(f"{said}.", hint=f"Name one or more of {', '.join(SCOPES)}.", param="scopes")
    if 0 < expires <= time.time():
        raise InvalidRequest("The key would be expired already.", hint="Name a day to come.", param="expires")


def _lmstudio_form() -> str:
    """A key in the form of LM Studio's tokens (source: the pattern that its SDKs check, `sk-lm-` with 8 letters or
    digits, a colon, and 20 more): 167 random bits."""
    first, second = ("".join(secrets.choice(LETTERS) for _ in range(length)) for length in (8, 20))
    return f"sk-lm-{first}:{second}"
