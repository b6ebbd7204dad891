"""Reading `http`: the listener, its TLS, and who may do what there."""

from pathlib import Path

from rollbackd.documents.reader import Reader
from rollbackd.settings.scalars import file_of, optional_file
from rollbackd.settings.values import (
    ClientCertificateSettings,
    HttpSettings,
    Permission,
    TlsSettings,
    TokenSettings,
)


def read_http(reader: Reader, folder: Path) -> HttpSettings:
    """The `http` section: where to listen, and who may ask for what."""
    f = reader.fields(
        (
            "host", "port", "allow_unauthenticated", "max_body_bytes", "tls", "tokens",
            "client_certificates",
        )
    )  # fmt: skip
    return HttpSettings(
        host=f.read("host", lambda r: r.string("127.0.0.1"), "127.0.0.1"),
        port=f.read("port", lambda r: r.integer(9797, minimum=0, maximum=65_535), 9797),
        allow_unauthenticated=f.read("allow_unauthenticated", Reader.boolean, default=False),
        max_body_bytes=f.read(
            "max_body_bytes", lambda r: r.integer(16 << 20, minimum=1024), 16 << 20
        ),
        tls=f.read("tls", lambda r: _tls(r, folder), None),
        tokens=f.read("tokens", lambda r: [_token(i, folder) for i in r.items()], []),
        client_certificates=f.read(
            "client_certificates", lambda r: [_client_certificate(i) for i in r.items()], []
        ),
    )


def _tls(reader: Reader, folder: Path) -> TlsSettings:
    f = reader.fields(
        ("cert_file", "key_file", "client_ca_file"), required=("cert_file", "key_file")
    )
    return TlsSettings(
        cert_file=f.read("cert_file", lambda r: file_of(r, folder), Path()),
        key_file=f.read("key_file", lambda r: file_of(r, folder), Path()),
        client_ca_file=optional_file(f, "client_ca_file", folder),
    )


def _token(reader: Reader, folder: Path) -> TokenSettings:
    keys = ("name", "file", "permissions")
    f = reader.fields(keys, required=keys)
    return TokenSettings(
        name=f.read("name", Reader.string, ""),
        file=f.read("file", lambda r: file_of(r, folder), Path()),
        permissions=f.read("permissions", _permissions, frozenset()),
    )


def _client_certificate(reader: Reader) -> ClientCertificateSettings:
    keys = ("name", "san", "permissions")
    f = reader.fields(keys, required=keys)
    return ClientCertificateSettings(
        name=f.read("name", Reader.string, ""),
        san=f.read("san", Reader.string, ""),
        permissions=f.read("permissions", _permissions, frozenset()),
    )


def _permissions(reader: Reader) -> frozenset[Permission]:
    allowed = [p.value for p in Permission]
    words = [item.choice(allowed) for item in reader.items()]
    return frozenset(Permission(w) for w in words if w)
