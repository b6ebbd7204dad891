"""Addresses at which no system answers that this program is to call (OWASP, SSRF prevention).

Metadata services of clouds live at link-local addresses, and some at addresses of their own:
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html (IPv6)
https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata
https://docs.oracle.com/iaas/Content/Compute/Tasks/gettingmetadata.htm (192.0.0.192, the older one)
"""

import ipaddress
from typing import Final

_METADATA: Final = frozenset(
    map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200", "192.0.0.192"))
)


def why_not_callable(address: str) -> str:
    """Why an address must not be called, or nothing. Raises ValueError for what is none."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    bad = found.is_link_local or found.is_multicast or found.is_unspecified or found in _METADATA
    return f"{address} is no address that may be called" if bad else ""


def why_not_host(host: str) -> str:
    """The same for the host of a URL. A name is not resolved, nor what only looks like a number."""
    try:
        return why_not_callable(host)
    except ValueError:
        return ""
