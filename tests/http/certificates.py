"""A certificate authority for one test run, by the `openssl` command."""

import subprocess
from pathlib import Path

_EXTENSIONS = "subjectAltName={san}\nextendedKeyUsage=serverAuth,clientAuth\n"


class Authority:
    """Issues certificates into a folder."""

    def __init__(self, folder: Path, name: str = "test CA") -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate = folder / "ca.pem"
        self._key = folder / "ca.key"
        _openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", self._key, "-out", self.certificate, "-days", "2", "-subj", f"/CN={name}",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        )  # fmt: skip

    def issue(self, name: str, san: str) -> tuple[Path, Path]:
        """The files of a certificate for `san`, e.g. `DNS:a.example,IP:127.0.0.1`, and its key."""
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        request, extensions = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        extensions.write_text(_EXTENSIONS.format(san=san))
        _openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", key, "-out", request, "-subj", f"/CN={name}",
        )  # fmt: skip
        _openssl(
            "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key,
            "-CAcreateserial", "-days", "1", "-extfile", extensions, "-out", certificate,
        )  # fmt: skip
        return certificate, key

    def encrypt(self, key: Path, passphrase: str) -> Path:
        """A private key under a passphrase."""
        encrypted = key.with_suffix(".encrypted")
        _openssl("pkey", "-in", key, "-aes256", "-passout", f"pass:{passphrase}", "-out", encrypted)
        return encrypted


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
