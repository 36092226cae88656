from __future__ import annotations

import json

from lmbridge.core.models import Download
from lmbridge.wire.ollama.pulling import MANIFEST, SUCCESS, line, pulling


def test_the_first_line_and_the_last_say_what_clients_expect() -> None:
    assert (line(MANIFEST), line(SUCCESS)) == (b'{"status":"pulling manifest"}\n', b'{"status":"success"}\n')


def test_bytes_are_counted_below_a_digest_that_stays_the_same() -> None:
    early = json.loads(line(pulling("org/name", Download("downloading"))))
    late = json.loads(line(pulling("org/name", Download("downloading", 0, 10))))
    assert early == {"status": late["status"], "digest": late["digest"]}
    assert (late["completed"], late["total"]) == (0, 10)
    kind, _, digest = late["digest"].partition(":")
    assert kind == "sha256"
    assert late["status"] == f"pulling {digest[:12]}"
    assert digest not in line(pulling("org/other", Download("downloading"))).decode()
