"""nginx: the fast server behind everything, and the reverse proxy to compare with."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from bench.processes import start

MAIN = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log crit;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 100000000;
  keepalive_timeout 75;
{servers}}}
"""

ANSWERS = """\
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    default_type application/json;
{locations}  }}
"""

PROXY = """\
  upstream to{port} {{ server 127.0.0.1:{to}; keepalive 512; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    location / {{
      proxy_pass http://to{port};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
"""


def find() -> str | None:
    """The nginx of this machine; Debian keeps it where not every user's PATH looks."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")


def answering(port: int, answers: Mapping[str, str]) -> str:
    """A server that gives each path its fixed answer (JSON without single quotes, dollars or backslashes)."""
    locations = "".join(f"    location = {path} {{ return 200 '{body}'; }}\n" for path, body in answers.items())
    return ANSWERS.format(port=port, locations=locations)


def proxying(port: int, to: int) -> str:
    """A server that hands everything on to another port, over kept connections and without buffering."""
    return PROXY.format(port=port, to=to)


def run(stack: ExitStack, nginx: str, folder: Path, *servers: str) -> subprocess.Popen[bytes]:
    """Start one nginx with one worker for *servers*; it ends with *stack*."""
    folder.mkdir(mode=0o755)
    config = folder / "nginx.conf"
    config.write_text(MAIN.format(folder=folder, servers="".join(servers)))
    log = folder / "output.log"
    return start(stack, [nginx, "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")], log=log)
