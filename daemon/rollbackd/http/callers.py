"""Who calls, from where, and what they may do."""

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final

from aiohttp import web

from rollbackd.settings import Permission

EVERYTHING: Final = frozenset(Permission)


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who said who they are; `name` is what the journal and the log call them."""

    name: str
    permissions: frozenset[Permission]


#: The caller of a public endpoint.
NOBODY: Final = Caller("", frozenset())


# asked of each request, and mostly of the same few hosts
@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener on `host`."""
    if host == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback


def peer_address(request: web.Request) -> str:
    """The address that the connection comes from, or an empty string."""
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return str(peer[0]) if isinstance(peer, tuple) and peer else ""


def certificate_names(request: web.Request) -> frozenset[str]:
    """The subject alternative names of the verified client certificate."""
    certificate = request.transport.get_extra_info("peercert") if request.transport else None
    names = (certificate or {}).get("subjectAltName", ())
    return frozenset(str(value) for _, value in names)
