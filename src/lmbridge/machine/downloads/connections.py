"""Connections for downloads: through proxies, with the certificates of the system, and told apart when they fail.

The standard library sends the requests. It is asked once for each: what a redirect leads to is followed with care
by whoever asks, and a status is an answer, not an exception.
"""

from __future__ import annotations

import http.client
import os
import re
import socket
import ssl
import urllib.error
import urllib.request
from typing import Final
from urllib.parse import urlsplit

from lmbridge.core.errors import ConfigInvalid
from lmbridge.machine.downloads.order import Limits

Reply = http.client.HTTPResponse

# What `http.client` says when a proxy refuses to connect us.
_TUNNEL: Final = re.compile(r"^Tunnel connection failed: (\d{3})")


class Interrupted(Exception):
    """A request that failed for a reason that may pass.

    Attributes:
        reason: for people. wait: seconds that the server asked for. reached: the server did answer.
    """

    def __init__(self, reason: str, *, wait: float | None = None, reached: bool = True) -> None:
        self.reason, self.wait, self.reached = reason, wait, reached
        super().__init__(reason)


class Connections:
    """Sends one request after the other, each over a connection of its own.

    Raises:
        ConfigInvalid: a proxy of another kind than HTTP.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._opener = _opener(limits)

    def send(self, request: urllib.request.Request) -> Reply:
        """The answer, whatever its status.

        Raises:
            Interrupted: there is none.
        """
        place = urlsplit(request.full_url).netloc
        try:
            reply: Reply = self._opener.open(request, timeout=self._limits.silence)
        except urllib.error.URLError as error:
            cause = error.reason if isinstance(error.reason, OSError) else error
            through = f"the proxy {request.host}" if request.host != place else place
            raise Interrupted(why(cause, through), reached=False) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            # Silence or nonsense once the connection stood.
            raise Interrupted(why(error, place)) from error
        return reply


def why(error: Exception, place: str) -> str:
    """A failed request in plain words. Never its own words: they may hold an address with a secret."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {place} is not trusted ({error.verify_message})"
    if isinstance(error, ssl.SSLError):
        return f"{place} does not speak TLS as expected ({getattr(error, 'reason', None) or 'no reason given'})"
    if isinstance(error, TimeoutError):
        return f"{place} is silent"
    if isinstance(error, socket.gaierror):
        return f"the name {place.partition(':')[0]!r} is not known"
    if isinstance(error, ConnectionRefusedError):
        return f"nothing answers at {place} (connection refused)"
    if isinstance(error, ConnectionError):
        return f"{place} closed the connection"
    if isinstance(error, http.client.HTTPException | ValueError):
        return f"{place} does not speak HTTP as expected ({type(error).__name__})"
    if (tunnel := _TUNNEL.search(str(error))) is not None:
        return f"{place} does not let us through (status {tunnel[1]})"
    return f"no connection to {place} ({getattr(error, 'strerror', None) or type(error).__name__})"


class _AsTheyCome(urllib.request.HTTPErrorProcessor):
    """Every status is an answer; redirects too, which are followed with care by ourselves."""

    def http_response(self, request: urllib.request.Request, response: Reply) -> Reply:
        return response

    https_response = http_response


def _opener(limits: Limits) -> urllib.request.OpenerDirector:
    """What sends requests, through the proxies of environment and system settings.

    Raises:
        ConfigInvalid: a proxy of another kind than HTTP.
    """

    class Plain(http.client.HTTPConnection):
        def connect(self) -> None:
            patience, self.timeout = self.timeout, limits.connect
            super().connect()
            self.sock.settimeout(patience)

    class Secure(http.client.HTTPSConnection):
        def connect(self) -> None:
            patience, self.timeout = self.timeout, limits.connect
            super().connect()
            self.sock.settimeout(patience)

    class HTTP(urllib.request.HTTPHandler):
        def http_open(self, request: urllib.request.Request) -> Reply:
            return self.do_open(Plain, request)

    class HTTPS(urllib.request.HTTPSHandler):
        def https_open(self, request: urllib.request.Request) -> Reply:
            return self.do_open(Secure, request, context=_context())

    proxies = urllib.request.getproxies()
    for kind in ("http", "https"):
        scheme = urlsplit(proxies.get(kind, "")).scheme
        if scheme.startswith("socks"):
            raise ConfigInvalid(
                f"{kind.upper()}_PROXY", "a SOCKS proxy cannot be used", hint="Name an HTTP proxy, or none."
            )
    opener = urllib.request.OpenerDirector()
    for handler in (urllib.request.ProxyHandler(proxies), HTTP(), HTTPS(), _AsTheyCome()):
        opener.add_handler(handler)
    return opener


def _context() -> ssl.SSLContext:
    """What the system trusts, and the certificates that other programs in Python are told of."""
    context = ssl.create_default_context()
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        bundle = os.environ.get(variable, "")
        if os.path.isfile(bundle):
            context.load_verify_locations(bundle)
    return context
