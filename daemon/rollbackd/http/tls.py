"""The server side of TLS, and of client certificates."""

import ssl

from rollbackd.settings import HttpSettings, TlsSettings


def server_context(settings: HttpSettings) -> ssl.SSLContext | None:
    """The context of the listener, or None for plain HTTP. Raises ValueError that names files.

    A client certificate is required where nothing else can let a caller in, else it is optional.
    """
    tls = settings.tls
    if tls is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_certificate(context, tls)
    if tls.client_ca_file is not None:
        try:
            context.load_verify_locations(tls.client_ca_file)
        except OSError as error:
            raise _unusable(f"`{tls.client_ca_file}`", error) from None
        context.verify_mode = ssl.CERT_OPTIONAL if settings.tokens else ssl.CERT_REQUIRED
    return context


def load_certificate(context: ssl.SSLContext, tls: TlsSettings) -> None:
    """Read certificate and key into the context, for connections from now on."""
    try:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    except OSError as error:
        raise _unusable(f"`{tls.cert_file}` with `{tls.key_file}`", error) from None


def _unusable(what: str, error: OSError) -> ValueError:
    return ValueError(f"cannot use {what} for TLS: {error.strerror or error.args[-1]}")
