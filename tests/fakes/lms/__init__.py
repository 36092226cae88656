"""The command `lms` of a fake LM Studio.

A program of its own, run by the script that `tests.fakes.lmstudio.install_fake` puts into `bin/lms`: it imports
little, so that it starts as fast as the real one. What it prints, where, and how it exits follow this project's
notes on the command; the state it shows is that of the fake's server, which it starts if none runs.
"""
