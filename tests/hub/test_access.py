from __future__ import annotations

import time
from collections.abc import Mapping
from hashlib import sha256
from itertools import product

import pytest
from msgspec import Struct

from lmbridge.core.errors import (
    BridgeError,
    ConfigInvalid,
    Forbidden,
    Unauthorized,
    UnsafeBind,
    UnsupportedMediaType,
)
from lmbridge.doors.gateway import GatewaySettings
from lmbridge.hub.access import (
    SESSION,
    Access,
    Headers,
    authorise,
    is_loopback,
    policy,
    refuse,
    refuse_body,
    refuse_twice,
    safe_bind,
    whose,
)
from lmbridge.hub.keys import SCOPES, KeyInfo, Scope

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


LMSTUDIO = "sk-lm-AbCd1234:abcdefghij0123456789"
KEYS = {
    "lmb-good": KeyInfo("1", "good", 1),
    LMSTUDIO: KeyInfo("2", "studio", 1),
    "lmb-infer": KeyInfo("3", "infer", 1, scopes=("infer",)),
    "lmb-models": KeyInfo("4", "models", 1, scopes=("models",)),
    "lmb-admin": KeyInfo("5", "admin", 1, scopes=("admin",)),
    "lmb-late": KeyInfo("6", "late", 1, expires=time.time() + 3600),
    "lmb-over": KeyInfo("7", "over", 1, expires=1_700_000_000),
}


class Ring:
    def verify(self, presented: str) -> KeyInfo | None:
        return KEYS.get(presented)


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


def refused(access: Access, headers: Headers, scope: Scope = "infer") -> BridgeError | None:
    """Why `authorise` lets somebody not in, None if it does."""
    try:
        authorise(access, headers, scope=scope)
    except BridgeError as error:
        return error
    return None


FORMS: list[tuple[Mapping[bytes, bytes], str | None]] = [
    ({}, None),
    ({b"authorization": b"Bearer lmb-good"}, "good"),
    ({b"authorization": b"bearer   lmb-good "}, "good"),
    ({b"x-api-key": b"lmb-good"}, "good"),
    ({b"api-key": b"lmb-good"}, "good"),
    ({b"authorization": b"Bearer lmb-good", b"x-api-key": b"lmb-good", b"api-key": b"lmb-good"}, "good"),
    ({b"authorization": b"Bearer " + LMSTUDIO.encode()}, "studio"),
    ({b"x-api-key": LMSTUDIO.encode()}, "studio"),
    ({b"authorization": b"Bearer session"}, SESSION),
    ({b"x-api-key": b"session"}, SESSION),
    ({b"authorization": b"Bearer lmb-late"}, "late"),
    ({b"authorization": b"Bearer lmb-over"}, None),
    ({b"authorization": b"Bearer lmb-bad"}, None),
    ({b"x-api-key": b"lmb-bad"}, None),
    ({b"api-key": b"lmb-bad"}, None),
    ({b"authorization": b"Bearer " + LMSTUDIO[:-1].encode()}, None),
    ({b"authorization": b"Bearer lmb-good", b"x-api-key": b"lmb-bad"}, None),
    ({b"authorization": b"Bearer lmb-bad", b"x-api-key": b"lmb-good"}, None),
    ({b"x-api-key": b"lmb-good", b"api-key": b"lmb-bad"}, None),
    ({b"authorization": b"Basic bG1iLWdvb2Q6", b"x-api-key": b"lmb-good"}, None),
    ({b"authorization": b"lmb-good"}, None),
    ({b"authorization": b"Bearer"}, None),
    ({b"authorization": b"Bearer "}, None),
    ({b"authorization": b""}, None),
    ({b"x-api-key": b""}, None),
    ({b"x-api-key": b"\xff\xfe"}, None),
    ({b"cookie": b"key=lmb-good"}, None),
]


@pytest.mark.parametrize(("headers", "name"), FORMS)
def test_every_form_of_a_key_goes_through_one_decision(headers: Mapping[bytes, bytes], name: str | None) -> None:
    assert authorise(OPEN, headers) == ""
    if name is None:
        assert isinstance(refused(CLOSED, headers), Unauthorized)
    else:
        assert authorise(CLOSED, headers) == name


@pytest.mark.parametrize("access", [OPEN, CLOSED])
@pytest.mark.parametrize(("key", "good"), [(b"session", True), (b"lmb-good", False), (b"", False)])
def test_what_only_the_owner_may_do_needs_the_session_key_always(access: Access, key: bytes, good: bool) -> None:
    if good:
        assert authorise(access, {b"x-api-key": key}, session_only=True) == SESSION
    else:
        with pytest.raises(Unauthorized):
            authorise(access, {b"x-api-key": key}, session_only=True)
    with pytest.raises(Unauthorized):
        authorise(access, {}, session_only=True)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("key", ["infer", "models", "admin"])
def test_a_key_opens_the_routes_of_its_scope_and_no_others(scope: Scope, key: Scope) -> None:
    headers = {b"authorization": f"Bearer lmb-{key}".encode()}
    if key == scope:
        assert authorise(CLOSED, headers, scope=scope) == key
        return
    with pytest.raises(Forbidden, match=f"lacks the scope '{scope}'") as caught:
        authorise(CLOSED, headers, scope=scope)
    assert f"--scope {scope}" in caught.value.hint


@pytest.mark.parametrize("scope", SCOPES)
def test_a_key_whose_time_is_over_opens_nothing_and_says_when_it_ended(scope: Scope) -> None:
    with pytest.raises(Unauthorized, match=r"'over' expired on 2023-11-14 at 22:13 UTC"):
        authorise(CLOSED, {b"x-api-key": b"lmb-over"}, scope=scope)


# -- all rules together


class Case(Struct, frozen=True):
    """One value of a header, and on which binds it is good."""

    value: bytes | None
    loopback: bool = False
    wide: bool = False
    proxied: bool = False

    def good(self, bind: str) -> bool:
        return bool(getattr(self, bind))


BINDS = {
    "loopback": GatewaySettings(),
    "wide": GatewaySettings(host=ALL, cors=("https://app.example",)),
    "proxied": GatewaySettings(hosts=("models.example",), cors=("*",), require_key=True),
}
HOSTS = [
    Case(b"127.0.0.1:1235", True, True, True),
    Case(b"LOCALHOST:1235", True, True, True),
    Case(b"[::1]:1235", True, True, True),
    Case(b"192.168.1.2:1235", wide=True),
    Case(b"models.example", proxied=True),
    Case(b"evil.example:1235"),
    Case(b"127.0.0.1:1236"),
    Case(b"127.0.0.1.evil.example:1235"),
    Case(None),
]
PAGES = [
    Case(None, True, True, True),
    Case(b"https://app.example", wide=True, proxied=True),
    Case(b"https://evil.example", proxied=True),
    Case(b"null", proxied=True),
    Case(b"http://127.0.0.1:3000", proxied=True),
]
BODIES = [
    Case(b"application/json", True, True, True),
    Case(b"application/json; charset=utf-8", True, True, True),
    Case(b"text/plain"),
    Case(b"application/x-www-form-urlencoded"),
    Case(b"multipart/form-data; boundary=x"),
    Case(None),
]
GOOD_FOR: Mapping[str, Mapping[str, bool]] = {
    "": {"infer": False, "models": False, "admin": False},
    "lmb-bad": {"infer": False, "models": False, "admin": False},
    "lmb-over": {"infer": False, "models": False, "admin": False},
    "lmb-good": {"infer": True, "models": True, "admin": True},
    "lmb-infer": {"infer": True, "models": False, "admin": False},
    "lmb-models": {"infer": False, "models": True, "admin": False},
    "lmb-admin": {"infer": False, "models": False, "admin": True},
    LMSTUDIO: {"infer": True, "models": True, "admin": True},
    "session": {"infer": True, "models": True, "admin": True},
}
WAYS = [(b"authorization", b"Bearer "), (b"x-api-key", b""), (b"api-key", b"")]


@pytest.mark.parametrize("bind", BINDS)
def test_the_whole_matrix_lets_in_only_what_every_rule_lets_in(bind: str) -> None:
    """Host x Origin x content type x key x its form x scope, on each bind; what is expected is only looked up."""
    rules, tried, let_in = policy(BINDS[bind], PORT), 0, 0
    for host, page, body, (key, scopes), (name, before), scope in product(
        HOSTS, PAGES, BODIES, GOOD_FOR.items(), WAYS, SCOPES
    ):
        given = ((b"host", host.value), (b"origin", page.value), (b"content-type", body.value))
        headers = {header: value for header, value in given if value is not None}
        if key:
            headers[name] = before + key.encode()
        expected = host.good(bind) and page.good(bind) and body.good(bind) and scopes[scope]
        found = not (refuse(rules, headers) or refuse_body(headers) or refused(CLOSED, headers, scope))
        assert found is expected, (bind, headers, scope)
        tried, let_in = tried + 1, let_in + found
    assert tried == 9 * 5 * 6 * 9 * 3 * 3
    assert 0 < let_in < tried / 10


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


@pytest.mark.parametrize(
    "name", [b"host", b"authorization", b"x-api-key", b"api-key", b"origin", b"content-length"]
)
def test_a_deciding_header_comes_once(name: bytes) -> None:
    assert refuse_twice([(name, b"a"), (name, b"b")]) is not None
    assert refuse_twice([(b"accept", b"a"), (b"accept", b"b"), (name, b"c")]) is None


def test_a_second_port_of_loopback_is_one_of_our_names_there_alone() -> None:
    rules = policy(GatewaySettings(host="192.0.2.1"), 1235, ("box",), loopback=(1234,))
    for host in (b"127.0.0.1:1234", b"localhost:1234", b"[::1]:1234", b"192.0.2.1:1235", b"box:1235"):
        assert refuse(rules, {b"host": host}) is None
    for host in (b"192.0.2.1:1234", b"box:1234", b"127.0.0.1:1236"):
        assert refuse(rules, {b"host": host}) is not None


@pytest.mark.parametrize(
    ("access", "key", "mine"),
    [
        (CLOSED, b"lmb-infer", "infer"),
        (CLOSED, b"lmb-models", "models"),
        (CLOSED, b"lmb-admin", None),
        (CLOSED, b"session", None),
        (OPEN, b"", None),
    ],
)
def test_a_key_is_for_what_was_stored_with_it_unless_it_looks_after_the_gateway(
    access: Access, key: bytes, mine: str | None
) -> None:
    headers = {b"x-api-key": key}
    assert whose(access, headers, authorise(access, headers, scope=mine or "admin")) == mine  # type: ignore[arg-type]
    with pytest.raises(Unauthorized):
        whose(CLOSED, {b"x-api-key": b"lmb-over"}, "over")
