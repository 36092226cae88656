"""Models in files on this machine, answered by llama.cpp in child processes."""

from lmbridge.providers.embedded.provider import EmbeddedProvider

__all__ = ["EmbeddedProvider"]
