"""The proxies of docs/proxies.md, each started with its block as it stands there, but for addresses and files."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.certificates import Authority
from tests.support.repository import REPOSITORY

PAGE = REPOSITORY / "docs/proxies.md"
_SECONDS = 15.0


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """A proxy: the language of its block, and how it is started with it."""

    language: str
    listens: str
    listens_here: str
    serves: str
    files: str
    """Where the page has certificate and key, without what follows the last dot."""
    command: tuple[str, ...]
    install: str
    around: str = "BLOCK"
    """What stands around the block, in the directory PLACE."""

    @property
    def documented(self) -> str:
        """The block of the page."""
        [block] = re.findall(rf"^```{self.language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
        return str(block)

    @contextmanager
    def running(self, place: Path, port: int, behind: str, block: str | None = None) -> Iterator[Path]:
        """Starts it on a port of 127.0.0.1, before the server at `behind`; yields the file of its authority."""
        program, *arguments = self.command
        tools = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin"))
        found = shutil.which(program, path=tools)
        assert found, f"{program} is not installed: {self.install}"
        authority = Authority("proxy CA")
        pair = authority.issue("proxy")
        (place / "ca.pem").write_bytes(authority.certificate)
        # Certificate and key in one file, for HAProxy.
        (place / "pair.pem").write_bytes(pair.certificate + pair.key)
        (place / "pair.key").write_bytes(pair.key)
        configuration = self.documented if block is None else block
        host, _, server_port = behind.rpartition(":")
        for shown, here in (
            (self.listens, self.listens_here.format(port=port)),
            (self.serves, self.serves.replace("127.0.0.1", host).replace("50051", server_port)),
        ):
            assert configuration.count(shown) == 1, shown
            configuration = configuration.replace(shown, here)
        assert self.files in configuration
        configuration = configuration.replace(self.files, str(place / "pair"))
        file = place / f"configuration.{self.language}"
        file.write_text(self.around.replace("PLACE", str(place)).replace("BLOCK", configuration))
        command = [found, *(argument.format(file=file) for argument in arguments)]
        with (place / "log").open("wb") as log:
            proxy = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield place / "ca.pem"
        finally:
            proxy.terminate()
            proxy.wait(_SECONDS)


_APT = "`apt-get install {}` does it, as .ci/run does"
PROXIES = {
    "haproxy": Proxy(
        language="haproxy",
        listens="bind :443",
        listens_here="bind 127.0.0.1:{port}",
        serves="server one 127.0.0.1:50051",
        files="/etc/haproxy/commontrace",
        command=("haproxy", "-db", "-f", "{file}"),
        install=_APT.format("haproxy"),
    ),
    "nginx": Proxy(
        language="nginx",
        listens="listen 443",
        listens_here="listen 127.0.0.1:{port}",
        serves="server 127.0.0.1:50051",
        files="/etc/nginx/commontrace",
        command=("nginx", "-e", "stderr", "-c", "{file}"),
        install=_APT.format("nginx"),
        # As whoever starts it: what it keeps is below a directory that is nobody else's.
        around="""
user root;
daemon off;
pid PLACE/pid;
events {}
http {
access_log off;
# Ten seconds where the block does not say otherwise, instead of the minute that nginx gives by itself.
client_body_timeout 10s;
grpc_read_timeout 10s;
grpc_send_timeout 10s;
send_timeout 10s;
client_body_temp_path PLACE/body;
fastcgi_temp_path PLACE/fastcgi;
proxy_temp_path PLACE/proxy;
scgi_temp_path PLACE/scgi;
uwsgi_temp_path PLACE/uwsgi;
BLOCK
}
""",
    ),
    "envoy": Proxy(
        language="yaml",
        listens="{address: 0.0.0.0, port_value: 443}",
        listens_here="{{address: 127.0.0.1, port_value: {port}}}",
        serves="{address: 127.0.0.1, port_value: 50051}",
        files="/etc/envoy/commontrace",
        command=("envoy", "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "error", "-c", "{file}"),
        install="`make tools` does it",
    ),
}
