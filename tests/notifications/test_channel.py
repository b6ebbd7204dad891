"""TLS to a receiver: its certificate is checked, and ours is shown."""

import shutil
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rollbackd.errors import TemporaryError
from rollbackd.notifications.channel import Channel
from rollbackd.settings import ReceiverSettings, Secret
from tests.http.certificates import Authority
from tests.notifications.receiver import Receiver


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Issues the certificates of a test."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on the PATH")
    return Authority(tmp_path / "ca")


@pytest.fixture
async def mutual(authority: Authority) -> AsyncIterator[Receiver]:
    """A receiver that lets only those in whom the authority knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("server", "IP:127.0.0.1"))
    context.load_verify_locations(authority.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    async with Receiver(context) as started:
        yield started


async def test_both_sides_show_who_they_are(authority: Authority, mutual: Receiver) -> None:
    certificate, key = authority.issue("daemon", "DNS:rollbackd")
    channel = Channel(
        ReceiverSettings(ca_file=authority.certificate, cert_file=certificate, key_file=key)
    )
    await channel.post(Secret(mutual.url), b"{}", {})
    assert len(mutual.requests) == 1
    await channel.close()


async def test_a_receiver_that_nobody_vouches_for_gets_nothing(mutual: Receiver) -> None:
    channel = Channel(ReceiverSettings())
    with pytest.raises(TemporaryError):
        await channel.post(Secret(mutual.url), b"{}", {})
    assert mutual.requests == []
    await channel.close()


async def test_a_certificate_that_was_replaced_counts_after_a_failure(
    authority: Authority, mutual: Receiver, tmp_path: Path
) -> None:
    certificate, key = authority.issue("daemon", "DNS:rollbackd")
    trusted = tmp_path / "trusted.pem"
    shutil.copy(Authority(tmp_path / "other", "other CA").certificate, trusted)
    channel = Channel(ReceiverSettings(ca_file=trusted, cert_file=certificate, key_file=key))
    with pytest.raises(TemporaryError):
        await channel.post(Secret(mutual.url), b"{}", {})
    shutil.copy(authority.certificate, trusted)
    await channel.post(Secret(mutual.url), b"{}", {})
    assert len(mutual.requests) == 1
    await channel.close()


async def test_a_secret_that_is_missing_names_the_file(receiver: Receiver, tmp_path: Path) -> None:
    channel = Channel(ReceiverSettings(bearer_token_file=tmp_path / "missing"))
    with pytest.raises(TemporaryError, match="missing"):
        await channel.post(Secret(receiver.url), b"{}", {})
    assert receiver.requests == []
    await channel.close()
