"""Look-up of the process that listens on a port."""

import subprocess
import sys

from commontrace.serving.port_listener import listener_of

# The kernel cuts the name at 15 bytes, in the midst of a character.
LISTEN = """
import socket, sys
open("/proc/self/comm", "wb").write("приложение".encode())
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
sys.stdin.read()
"""


def test_its_name_may_be_cut_anywhere() -> None:
    command = [sys.executable, "-c", LISTEN]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        port = int(process.stdout.readline())
        assert listener_of(port) == f"process {process.pid} (приложе\N{REPLACEMENT CHARACTER})"
        process.stdin.close()
