"""A fake LM Studio for tests: a real server over sockets, and a real `lms` executable.

It follows the notes on LM Studio's HTTP API and its command that this project works by.
`tests/contract/test_lmstudio.py` holds it, and a real LM Studio where there is one, to the same assertions.
"""

from tests.fakes.lmstudio.faults import FAULTS, Fault
from tests.fakes.lmstudio.models import FakeModel
from tests.fakes.lmstudio.server import GOOD_TOKEN, FakeLMStudio, fake_lmstudio

__all__ = ["FAULTS", "GOOD_TOKEN", "FakeLMStudio", "FakeModel", "Fault", "fake_lmstudio"]
