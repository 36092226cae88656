from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from itertools import product

import pytest

from lmbridge.core.errors import ConfigInvalid, Forbidden, Unauthorized, UnsafeBind, UnsupportedMediaType
from lmbridge.doors.gateway import GatewaySettings
from lmbridge.doors.gateway.guard import (
    Access,
    authorise,
    is_loopback,
    policy,
    refuse,
    refuse_body,
    refuse_twice,
    safe_bind,
)

PORT = 1235
ALL = "0.0.0.0"  # noqa: S104 - nothing is bound here
OWN = [b"127.0.0.1:1235", b"localhost:1235", b"LocalHost:1235", b"[::1]:1235"]
FOREIGN = [
    b"",
    b"evil.example",
    b"evil.example:1235",
    b"127.0.0.1",
    b"127.0.0.1:1236",
    b"127.0.0.1.evil.example:1235",
    b"localhost.evil.example:1235",
    b"localhost:12350",
    b"evil.example@127.0.0.1:1235",
    b"127.0.0.1:1235.",
    b"0:1235",
    b"192.168.1.2:1235",
]


class Ring:
    def verify(self, presented: str) -> object | None:
        return presented if presented == "lmb-good" else None


OPEN = Access(False, sha256(b"session").digest(), Ring())
CLOSED = Access(True, sha256(b"session").digest(), Ring())


def rules(**settings: object):
    return policy(GatewaySettings(**settings), PORT)  # type: ignore[arg-type]


@pytest.mark.parametrize("host", OWN)
def test_our_own_names_may_be_used(host: bytes) -> None:
    assert refuse(rules(), {b"host": host}) is None


@pytest.mark.parametrize("host", FOREIGN)
def test_a_name_that_is_not_ours_is_refused_so_that_rebinding_fails(host: bytes) -> None:
    assert isinstance(refuse(rules(), {b"host": host}), Forbidden)
    assert isinstance(refuse(rules(), {}), Forbidden)


@pytest.mark.parametrize("bind", ["127.0.0.1", "::1", "localhost", ALL, "::", "192.168.1.2"])
@pytest.mark.parametrize("host", [b"evil.example:1235", b"evil.example", b"192.168.1.2.evil.example:1235"])
def test_a_foreign_name_is_refused_on_every_bind(bind: str, host: bytes) -> None:
    assert isinstance(refuse(rules(host=bind), {b"host": host}), Forbidden)


def test_the_bound_address_may_be_used() -> None:
    assert refuse(rules(host="192.168.1.2"), {b"host": b"192.168.1.2:1235"}) is None
    assert refuse(rules(host="fd00::2"), {b"host": b"[fd00::2]:1235"}) is None


@pytest.mark.parametrize(
    ("host", "allowed"),
    [(b"10.0.0.7:1235", True), (b"[fd00::2]:1235", True), (b"10.0.0.7:80", False), (b"10.0.0.7", False)],
)
def test_bound_to_all_addresses_any_address_with_our_port_may_be_used(host: bytes, allowed: bool) -> None:
    assert (refuse(rules(host=ALL), {b"host": host}) is None) is allowed


def test_the_name_of_this_machine_may_be_used_only_on_a_wide_bind() -> None:
    for bind, allowed in (("127.0.0.1", False), (ALL, True)):
        found = policy(GatewaySettings(host=bind), PORT, ["MyBox"])
        assert (refuse(found, {b"host": b"mybox:1235"}) is None) is allowed


def test_a_name_of_the_settings_may_be_used_with_its_port_or_ours() -> None:
    found = rules(hosts=("models.example", "Proxy:8080"))
    for host in (b"models.example", b"models.example:1235", b"proxy:8080"):
        assert refuse(found, {b"host": host}) is None


def test_on_port_80_no_port_is_needed() -> None:
    found = policy(GatewaySettings(), 80)
    assert refuse(found, {b"host": b"localhost"}) is None


SAME = b"http://127.0.0.1:1235"
NAMED = b"https://app.example"
ORIGINS = [None, SAME, NAMED, b"http://evil.example", b"null", b"http://127.0.0.1:3000", b"http://localhost:1235"]


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("cors", [(), ("https://app.example",), ("*",)])
def test_only_our_page_and_named_pages_may_ask(origin: bytes | None, cors: tuple[str, ...]) -> None:
    headers = {b"host": b"127.0.0.1:1235"} | ({} if origin is None else {b"origin": origin})
    allowed = origin in (None, SAME) or cors == ("*",) or (origin == NAMED and cors != ())
    assert (refuse(rules(cors=cors), headers) is None) is allowed


@pytest.mark.parametrize(
    ("site", "allowed"), [(b"none", True), (b"same-origin", True), (b"same-site", False), (b"cross-site", False)]
)
def test_a_foreign_page_that_hides_its_origin_is_refused(site: bytes, allowed: bool) -> None:
    headers = {b"host": b"127.0.0.1:1235", b"sec-fetch-site": site}
    assert (refuse(rules(), headers) is None) is allowed


def test_a_link_may_lead_to_the_page_and_to_nothing_else() -> None:
    headers = {b"host": b"127.0.0.1:1235", b"sec-fetch-site": b"cross-site", b"sec-fetch-mode": b"navigate"}
    assert refuse(rules(), headers, page=True) is None
    assert refuse(rules(), headers) is not None
    assert refuse(rules(), headers | {b"sec-fetch-mode": b"no-cors"}, page=True) is not None


def test_behind_a_proxy_with_tls_our_page_is_our_page() -> None:
    headers = {b"host": b"models.example", b"origin": b"https://models.example"}
    assert refuse(rules(hosts=("models.example",)), headers) is None


JSON = [b"application/json", b"application/json; charset=utf-8", b"Application/JSON"]
NOT_JSON = [
    b"",
    b"text/plain",
    b"application/x-www-form-urlencoded",
    b"multipart/form-data; boundary=x",
    b"text/json",
]


@pytest.mark.parametrize("kind", JSON)
def test_json_is_read(kind: bytes) -> None:
    assert refuse_body({b"content-type": kind}) is None


@pytest.mark.parametrize("kind", NOT_JSON)
def test_what_a_page_can_send_without_asking_is_not_read(kind: bytes) -> None:
    assert isinstance(refuse_body({b"content-type": kind}), UnsupportedMediaType)
    assert isinstance(refuse_body({}), UnsupportedMediaType)


def test_an_encoded_body_is_not_read() -> None:
    assert refuse_body({b"content-type": JSON[0], b"content-encoding": b"gzip"}) is not None
    assert refuse_body({b"content-type": JSON[0], b"content-encoding": b"identity"}) is None


FORMS: list[tuple[Mapping[bytes, bytes], bool]] = [
    ({}, False),
    ({b"authorization": b"Bearer lmb-good"}, True),
    ({b"authorization": b"bearer   lmb-good "}, True),
    ({b"x-api-key": b"lmb-good"}, True),
    ({b"authorization": b"Bearer lmb-good", b"x-api-key": b"lmb-good"}, True),
    ({b"authorization": b"Bearer session"}, True),
    ({b"x-api-key": b"session"}, True),
    ({b"authorization": b"Bearer lmb-bad"}, False),
    ({b"x-api-key": b"lmb-bad"}, False),
    ({b"authorization": b"Bearer lmb-good", b"x-api-key": b"lmb-bad"}, False),
    ({b"authorization": b"Bearer lmb-bad", b"x-api-key": b"lmb-good"}, False),
    ({b"authorization": b"Basic bG1iLWdvb2Q6", b"x-api-key": b"lmb-good"}, False),
    ({b"authorization": b"lmb-good"}, False),
    ({b"authorization": b"Bearer"}, False),
    ({b"authorization": b"Bearer "}, False),
    ({b"authorization": b""}, False),
    ({b"x-api-key": b""}, False),
    ({b"x-api-key": b"\xff\xfe"}, False),
    ({b"cookie": b"key=lmb-good"}, False),
]


@pytest.mark.parametrize(("headers", "good"), FORMS)
def test_every_form_of_a_key_goes_through_one_decision(headers: Mapping[bytes, bytes], good: bool) -> None:
    assert authorise(OPEN, headers) is None
    error = authorise(CLOSED, headers)
    assert (error is None) is good
    assert error is None or isinstance(error, Unauthorized)


@pytest.mark.parametrize("access", [OPEN, CLOSED])
@pytest.mark.parametrize(("key", "good"), [(b"session", True), (b"lmb-good", False), (b"", False)])
def test_what_only_the_owner_may_do_needs_the_session_key_always(access: Access, key: bytes, good: bool) -> None:
    assert (authorise(access, {b"x-api-key": key}, session_only=True) is None) is good
    assert authorise(access, {}, session_only=True) is not None


def test_the_whole_matrix_lets_in_only_what_every_rule_lets_in() -> None:
    for host, origin, kind, (form, good) in product(
        [OWN[0], FOREIGN[1]], [None, SAME, b"http://evil.example"], [JSON[0], NOT_JSON[1]], FORMS
    ):
        headers = {b"host": host, b"content-type": kind, **form}
        if origin is not None:
            headers[b"origin"] = origin
        let_in = (
            refuse(rules(), headers) is None
            and refuse_body(headers) is None
            and authorise(CLOSED, headers) is None
        )
        expected = host == OWN[0] and origin in (None, SAME) and kind == JSON[0] and good
        assert let_in is expected, headers


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        (ALL, False),
        ("::", False),
        ("", False),
        ("192.168.1.2", False),
        ("localhost.evil.example", False),
        ("mybox", False),
    ],
)
def test_loopback_is_told_from_the_network(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("host", "require", "has_keys", "expected"),
    [
        ("127.0.0.1", False, False, False),
        ("127.0.0.1", True, False, True),
        ("127.0.0.1", False, True, True),
        (ALL, False, True, True),
        (ALL, False, False, UnsafeBind),
        (ALL, True, False, UnsafeBind),
        ("192.168.1.2", False, False, UnsafeBind),
        ("::", False, False, UnsafeBind),
        ("", False, False, UnsafeBind),
    ],
)
def test_a_wider_bind_needs_a_key(host: str, require: bool, has_keys: bool, expected: object) -> None:
    settings = GatewaySettings(host=host, require_key=require)
    if expected is UnsafeBind:
        with pytest.raises(UnsafeBind):
            safe_bind(settings, has_keys=has_keys)
    else:
        assert safe_bind(settings, has_keys=has_keys) is expected


def test_every_page_may_be_let_in_only_where_a_key_is_needed() -> None:
    with pytest.raises(ConfigInvalid, match="every web page"):
        safe_bind(GatewaySettings(cors=("*",)), has_keys=False)
    assert safe_bind(GatewaySettings(cors=("*",)), has_keys=True) is True


@pytest.mark.parametrize(
    "origin", ["app.example", "null", "https://app.example/path", "https://", "", "https://*"]
)
def test_what_is_no_origin_is_refused_at_the_start(origin: str) -> None:
    with pytest.raises(ConfigInvalid, match="not an origin"):
        safe_bind(GatewaySettings(cors=(origin,)), has_keys=True)


def test_an_extension_is_an_origin() -> None:
    assert safe_bind(GatewaySettings(cors=("chrome-extension://abcdefgh",)), has_keys=False) is False


@pytest.mark.parametrize("name", [b"host", b"authorization", b"x-api-key", b"origin", b"content-length"])
def test_a_deciding_header_comes_once(name: bytes) -> None:
    assert refuse_twice([(name, b"a"), (name, b"b")]) is not None
    assert refuse_twice([(b"accept", b"a"), (b"accept", b"b"), (name, b"c")]) is None
