"""Requests in a form that makes the engine do what they say."""

from __future__ import annotations

from collections.abc import Mapping

from lmbridge.core.models import Instance


def prepare(instance: Instance, body: Mapping[str, object]) -> Mapping[str, object]:
    """See `lmbridge.core.provider.Provider.prepare`."""
    return body
