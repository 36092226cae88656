"""What other programs see of our environment when we start them.

Keys and tokens of the user are none of their business, and what makes a program load foreign code is none of
ours. There are two measures: `child_environment` for programs of the user, which may need any variable we
never heard of, leaves out what looks like a secret; `engine_environment` for our own engine, whose needs we
know, leaves out everything else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final

# fmt: off
_ENGINE: Final = frozenset((
    "PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "WINDIR",
    "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "XDG_RUNTIME_DIR", "VK_ICD_FILENAMES", "VK_DRIVER_FILES",
    "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GGML_VK_VISIBLE_DEVICES",
))
"""What an engine needs to find its libraries and devices."""

_SECRETS: Final = frozenset((
    "SSH_AUTH_SOCK", "SSH_AGENT_PID", "GPG_AGENT_INFO", "KUBECONFIG", "NETRC", "PGPASSFILE", "REDISCLI_AUTH",
    "SSHPASS", "SENTRY_DSN", "SLACK_WEBHOOK_URL", "DOCKER_AUTH_CONFIG", "VAULT_ADDR", "NPM_CONFIG__AUTH",
))
"""Secrets whose names do not show it, and doors to secrets."""

_CODE: Final = frozenset((
    "NODE_OPTIONS", "NODE_PATH", "NODE_EXTRA_CA_CERTS", "ELECTRON_RUN_AS_NODE", "BASH_ENV", "ENV",
    "GCONV_PATH", "GTK_MODULES", "GTK_PATH", "QT_PLUGIN_PATH", "PERL5OPT", "PERL5LIB", "RUBYOPT",
    "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP",
))
"""What changes the code a program runs. ELECTRON_RUN_AS_NODE is set in the terminals of some editors, and an
app built on Electron, as LM Studio is, does not open under it."""
# fmt: on

_FAMILIES: Final = ("AWS_", "AZURE_", "GOOGLE_", "GCP_", "CLOUDSDK_", "LD_", "DYLD_")
_SECRET_NAME: Final = re.compile(
    r"SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL"
    r"|(?:^|_)(?:API)?(?:TOKEN|KEY|PASS|PAT|COOKIE|AUTH|AUTHTOKEN)S?$|_PWD$|APIKEY$"
)
# A password inside an address, as in `DATABASE_URL`. The address of a proxy is let through: without it there
# may be no download.
_SECRET_VALUE: Final = re.compile(r"://[^/@\s:]*:[^/@\s]+@")
_PROXIES: Final = frozenset(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "FTP_PROXY", "NO_PROXY"))


def decides_code(name: str) -> bool:
    """Whether a variable decides which program is found, or what code it loads."""
    upper = name.upper()
    return upper == "PATH" or upper in _CODE or upper.startswith(("LD_", "DYLD_"))


def child_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a program of the user: ours without secrets and without what loads foreign code.

    Left out are known names, whole families (`AWS_`, `LD_`, …), names that speak of a secret (`PASSWORD`) or end
    like one (`_TOKEN`, `_KEY`, …), and values with a password inside an address, those of proxies excepted.

    Args:
        environ: the environment to start from; default this process's.
    """
    mine = os.environ if environ is None else environ
    return {name: value for name, value in mine.items() if not _is_withheld(name.upper(), value)}


def _is_withheld(name: str, value: str) -> bool:
    if name in _SECRETS or name in _CODE or name.startswith(_FAMILIES) or _SECRET_NAME.search(name):
        return True
    return name not in _PROXIES and bool(_SECRET_VALUE.search(value))


def engine_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of an engine: what it needs of ours, and nothing else.

    GOMP_SPINCOUNT: threads that wait for each other spin only briefly. Left alone they spin so long that one
    other busy process on the machine slows generation to a quarter.

    Args:
        environ: the environment to start from; default this process's.
    """
    mine = os.environ if environ is None else environ
    return {name: value for name, value in mine.items() if name in _ENGINE} | {"GOMP_SPINCOUNT": "1000"}
