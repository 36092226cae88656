"""WHERE MODELS RUN: each composes machine and clients into the `Provider` of `core`; none knows another."""
