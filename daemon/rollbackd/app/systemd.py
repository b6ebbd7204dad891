"""The service manager's notification socket (sd_notify(3))."""

import os
import socket
import time


class ServiceManager:
    """Tells systemd what the daemon is doing; silent when systemd did not start it."""

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]

    @property
    def watchdog_seconds(self) -> float | None:
        """Half of WatchdogSec: how often `alive` is due; None without a watchdog."""
        microseconds = os.environ.get("WATCHDOG_USEC", "")
        return int(microseconds) / 2_000_000 if self._address and microseconds else None

    def ready(self, status: str) -> None:
        """Start-up, or a reload, is complete."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """A reload has begun; MONOTONIC_USEC must be in the same datagram."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1_000}")

    def stopping(self) -> None:
        """The daemon is on its way out."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Feed the watchdog. Only to be called after real progress."""
        self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.connect(self._address)
            sock.sendall(message.encode())
