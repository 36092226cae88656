"""A fake LM Studio for tests: a real server over sockets, and a real `lms` executable.

It follows the notes on LM Studio's HTTP API and its command that this project works by.
`tests/contract/test_lmstudio.py` holds it, and a real LM Studio where there is one, to the same assertions.

    async with fake_lmstudio(tmp_path) as fake:          # in the test's own process
        fake.hold("qwen/qwen3-4b-2507")                   # loaded, as if by a person
        fake.inject("500", "GET /api/v1/models", times=1) # what goes wrong, where, how often: FAULTS
        fake.install.fault = "asks"                       # and with its `lms`: LMS_FAULTS

    with install_fake(tmp_path) as install:               # nothing runs until `lms` starts it
        install.run("server", "start")
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
