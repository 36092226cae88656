"""WHERE MODELS RUN: each composes machine and clients into the `Provider` of `core`; they do not know each other."""
