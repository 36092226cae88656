"""What providers and extensions there are: found by entry points, built from the settings, switched on and off.

`values` reads settings by a manifest, `extensions` activates other people's packages, `registry` joins both.
"""

from lmbridge.registry.registry import EXTENSIONS, PROVIDERS, Entry, Registry

__all__ = ["EXTENSIONS", "PROVIDERS", "Entry", "Registry"]
