"""A fake LM Studio for tests: a real server over sockets, and a real `lms` executable.

It follows the notes on LM Studio's HTTP API and its command that this project works by.
`tests/contract/test_lmstudio.py` holds it, and a real LM Studio where there is one, to the same assertions.
"""

from tests.fakes.lms.faults import HARMLESS, LMS_FAULTS
from tests.fakes.lmstudio.faults import FAULTS, Fault
from tests.fakes.lmstudio.install import FakeInstall, install_fake
from tests.fakes.lmstudio.models import FakeModel
from tests.fakes.lmstudio.server import GOOD_TOKEN, FakeLMStudio, fake_lmstudio

__all__ = [
    "FAULTS",
    "GOOD_TOKEN",
    "HARMLESS",
    "LMS_FAULTS",
    "FakeInstall",
    "FakeLMStudio",
    "FakeModel",
    "Fault",
    "fake_lmstudio",
    "install_fake",
]
