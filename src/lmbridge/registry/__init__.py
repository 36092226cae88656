"""What providers and extensions there are: found by entry points, built from the settings, switched on and off.

`extensions` activates other people's packages, `registry` joins them with our own.
"""

from lmbridge.registry.registry import EXTENSIONS, PROVIDERS, Entry, Registry

__all__ = ["EXTENSIONS", "PROVIDERS", "Entry", "Registry"]
