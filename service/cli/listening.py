"""The socket that the API is reached by, opened once by whoever keeps the API's processes.

It outlives each of them: what arrives while one is started again is taken by another, or waits.
"""

import socket

from service.cli.errors import StackError

# Of connections that no process has taken yet.
BACKLOG = 2048
EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104


def listen(host: str, port: int) -> socket.socket:
    """Listen; at port 0, on a free one. `::` is every address, those of IPv4 too where the system can do that.

    Raises:
        StackError: somebody else has the port, or the address is not of this machine.
    """
    both = host == "::" and socket.has_dualstack_ipv6()
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=both)
    except OSError as error:
        raise StackError(
            f"The API cannot listen on {host}:{port}: {error.strerror}.",
            fix="Set LETHE_PORT to another port, or LETHE_HOST to an address of this machine.",
        ) from error


def port_of(listener: socket.socket) -> int:
    """Where it listens."""
    port: int = listener.getsockname()[1]
    return port


def url_of(host: str, port: int) -> str:
    """How it is reached from this machine."""
    name = "127.0.0.1" if host in EVERY_ADDRESS else host
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
