import errno
import json
import re
import stat
import sys
import threading
import time
from pathlib import Path

import pytest

from lmbridge.core.errors import ConfigInvalid, InvalidRequest, NoSpace
from lmbridge.hub.keys import SCOPES, KeyInfo, KeyRing


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "home" / "keys.json", recheck_s=0)


def test_a_key_opens_and_is_not_in_the_file(ring: KeyRing) -> None:
    key = ring.create("laptop")
    assert key.startswith("lmb-")
    assert len(key) >= 46
    info = ring.verify(key)
    assert info is not None
    assert info.name == "laptop"
    assert key not in ring.path.read_text()
    assert key[4:] not in ring.path.read_text()


def test_a_wrong_key_opens_nothing(ring: KeyRing) -> None:
    key = ring.create("laptop")
    assert ring.verify(key + "x") is None
    assert ring.verify("") is None
    assert ring.verify("lmb-ü\ud800") is None


def test_an_empty_ring_knows_no_key_and_makes_no_file(ring: KeyRing) -> None:
    assert ring.verify("lmb-anything") is None
    assert ring.list() == []
    assert not ring.path.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no mode bits")
def test_only_the_owner_can_read_the_file(ring: KeyRing) -> None:
    ring.create("laptop")
    assert stat.S_IMODE(ring.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(ring.path.parent.stat().st_mode) == 0o700


def test_a_key_revoked_by_another_process_stops_working_without_a_restart(ring: KeyRing) -> None:
    key = ring.create("laptop")
    assert ring.verify(key) is not None
    KeyRing(ring.path).revoke("laptop")
    assert ring.verify(key) is None


def test_a_key_made_by_another_process_works_without_a_restart(ring: KeyRing) -> None:
    ring.verify("lmb-nobody")
    assert ring.verify(KeyRing(ring.path).create("phone")) is not None


def test_the_file_is_not_looked_at_more_often_than_told(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path / "keys.json", recheck_s=3600)
    key = ring.create("laptop")
    assert ring.verify(key) is not None
    KeyRing(ring.path).revoke("laptop")
    assert ring.verify(key) is not None


def test_a_key_is_revoked_by_its_id_too(ring: KeyRing) -> None:
    key = ring.create("laptop")
    kept = ring.create("phone")
    (info, _) = ring.list()
    assert ring.revoke(info.id) == info
    assert ring.verify(key) is None
    assert ring.verify(kept) is not None


def test_revoking_an_unknown_key_is_an_error(ring: KeyRing) -> None:
    with pytest.raises(InvalidRequest, match="no key 'phone'"):
        ring.revoke("phone")


@pytest.mark.parametrize("name", ["", " ", "-x", "a/b", "a\nb", "x" * 65, "ü"])
def test_a_name_that_could_confuse_is_refused(ring: KeyRing, name: str) -> None:
    with pytest.raises(InvalidRequest, match="name of a key"):
        ring.create(name)


def test_a_name_is_used_once(ring: KeyRing) -> None:
    ring.create("laptop")
    with pytest.raises(InvalidRequest, match="already"):
        ring.create("laptop")


def test_the_last_use_is_written_when_flushed(ring: KeyRing) -> None:
    ring.flush()
    assert not ring.path.exists()
    key = ring.create("laptop")
    ring.create("phone")
    assert [info.last_used for info in ring.list()] == [0, 0]
    ring.verify(key)
    assert ring.list()[0].last_used == 0
    ring.flush()
    assert ring.list()[0].last_used > 0
    assert ring.list()[1].last_used == 0


def test_writing_the_last_use_does_not_bring_a_revoked_key_back(ring: KeyRing) -> None:
    key = ring.create("laptop")
    ring.verify(key)
    KeyRing(ring.path).revoke("laptop")
    ring.flush()
    assert ring.list() == []


def test_writers_at_the_same_time_lose_no_key(ring: KeyRing) -> None:
    threads = [
        threading.Thread(target=lambda n=number: KeyRing(ring.path).create(f"key {n}"))  # type: ignore[misc]
        for number in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(ring.list()) == 12
    assert sorted(p.name for p in ring.path.parent.iterdir()) == ["keys.json", "keys.json.lock"]


def test_a_ring_that_cannot_be_read_is_not_to_be_thrown_away(ring: KeyRing) -> None:
    ring.path.mkdir(parents=True)
    with pytest.raises(ConfigInvalid, match="it cannot be read") as told:
        ring.list()
    assert "Remove" not in told.value.hint


@pytest.mark.parametrize("content", ["", "not json", '{"keys": [{"id": 1}]}', "[]"])
def test_a_damaged_ring_is_reported_and_opens_nothing(ring: KeyRing, content: str) -> None:
    key = ring.create("laptop")
    ring.path.write_text(content)
    with pytest.raises(ConfigInvalid, match="key ring"):
        ring.list()
    assert ring.verify(key) is None


def test_a_digest_that_is_no_digest_opens_nothing(ring: KeyRing) -> None:
    key = ring.create("laptop")
    ring.path.write_text('{"keys": [{"id": "1", "name": "a", "sha256": "zz", "created": 1}]}')
    assert ring.verify(key) is None


@pytest.mark.parametrize(("number", "raised"), [(errno.ENOSPC, NoSpace), (errno.EIO, OSError)])
def test_a_write_that_fails_leaves_the_old_ring(
    ring: KeyRing, monkeypatch: pytest.MonkeyPatch, number: int, raised: type[Exception]
) -> None:
    key = ring.create("laptop")

    def fail(_: int) -> None:
        raise OSError(number, "no such luck")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(raised, match=r"luck|space"):
        ring.create("phone")
    assert [info.name for info in ring.list()] == ["laptop"]
    assert ring.verify(key) is not None
    assert sorted(p.name for p in ring.path.parent.iterdir()) == ["keys.json", "keys.json.lock"]


def test_a_key_is_good_for_everything_and_for_ever_unless_told(ring: KeyRing) -> None:
    info = ring.verify(ring.create("laptop"))
    assert info is not None
    assert (info.scopes, info.expires, info.expired(1e12)) == (SCOPES, 0, False)


def test_a_key_is_good_for_what_it_was_made_for_and_no_longer(ring: KeyRing) -> None:
    end = time.time() + 1000
    info = ring.verify(ring.create("ci", scopes=("models", "infer", "infer"), expires=end))
    assert info is not None
    assert (info.scopes, info.expires) == (("infer", "models"), end)
    assert not info.expired(end - 1)
    assert info.expired(end)
    assert ring.list() == [info]


def test_a_key_whose_time_is_over_is_known_and_not_counted_as_used(ring: KeyRing) -> None:
    key = ring.create("ci")
    stored = json.loads(ring.path.read_text())
    stored["keys"][0]["expires"] = 5
    ring.path.write_text(json.dumps(stored))
    info = ring.verify(key)
    assert info is not None
    assert info.expired(time.time())
    ring.flush()
    assert ring.list()[0].last_used == 0


def test_the_keys_of_an_older_ring_stay_good_for_everything(ring: KeyRing) -> None:
    key = ring.create("laptop", scopes=("infer",))
    stored = json.loads(ring.path.read_text())
    del stored["keys"][0]["scopes"], stored["keys"][0]["expires"]
    ring.path.write_text(json.dumps(stored))
    info = ring.verify(key)
    assert info is not None
    assert (info.scopes, info.expires) == (SCOPES, 0)


def test_a_scope_that_nobody_knows_closes_the_ring(ring: KeyRing) -> None:
    key = ring.create("laptop")
    ring.path.write_text(ring.path.read_text().replace("admin", "everything"))
    assert ring.verify(key) is None


def test_a_key_may_have_the_form_of_lm_studios_tokens(ring: KeyRing) -> None:
    key = ring.create("app", lmstudio_form=True)
    assert re.fullmatch(r"sk-lm-[A-Za-z0-9]{8}:[A-Za-z0-9]{20}", key)
    info = ring.verify(key)
    assert info is not None
    assert info.name == "app"
    assert key[6:14] not in ring.path.read_text()
    assert ring.verify(key[:-1]) is None


@pytest.mark.parametrize("scopes", [(), ("root",), ("infer", "root")])
def test_a_key_without_a_scope_that_is_one_is_not_made(ring: KeyRing, scopes: tuple[str, ...]) -> None:
    with pytest.raises(InvalidRequest, match="scope"):
        ring.create("ci", scopes=scopes)  # type: ignore[arg-type]
    assert not ring.path.exists()


def test_a_key_that_would_be_expired_already_is_not_made(ring: KeyRing) -> None:
    with pytest.raises(InvalidRequest, match="expired"):
        ring.create("ci", expires=time.time() - 1)


def test_what_is_shown_of_a_key_holds_no_digest() -> None:
    assert "sha256" not in KeyInfo.__struct_fields__
