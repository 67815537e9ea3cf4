"""One TLS connection between memory buffers (ssl.SSLObject), and the three ways to trust the other end.

| verify              | the certificate |
|---------------------|-----------------|
| True                | chain to the system's authorities, the name, the dates |
| False               | anything: another layer authenticates (Noise inside), or the map says so (InsecureForTests) |
| "sha256-raw:<hex>"  | the leaf's DER has this SHA-256; no name, no dates, no authority: right on a board without a clock |

It moves no bytes: `feed` what came, send what `outgoing()` gives. `ssl` is imported at the first connection only, and
the authorities are loaded only when something is verified against them: together they are 8 MB.
"""

from skerry_shim.crypto import sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl

PIN = "sha256-raw:"
_contexts: "dict[bool, ssl.SSLContext]" = {}


class Refused(Exception):
    """TLS failed; the text is one sentence for people."""


class Tls:
    """`ready` is True once the other end is trusted and data may flow."""

    def __init__(self, name: str, verify: "bool | str") -> None:
        import ssl

        self.ready = False
        self._pin = _parse_pin(verify) if isinstance(verify, str) else b""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        try:
            self._object = _context(verify is True).wrap_bio(self._incoming, self._outgoing, server_hostname=_ascii(name))
        except (ValueError, ssl.SSLError) as error:
            raise Refused(f'"{name}" cannot be used as a TLS server name ({error})') from None
        self.feed(b"")

    def feed(self, data: bytes) -> bytes:
        """Take bytes from the network; give plaintext. Refused when the other end is not who it should be."""
        import ssl

        if data:
            self._incoming.write(data)
        try:
            if not self.ready:
                self._object.do_handshake()
                self._check_pin()
                self.ready = True
            return self._read()
        except ssl.SSLWantReadError:
            return b""
        except ssl.SSLCertVerificationError as error:
            raise Refused(_explain(error.verify_message)) from None
        except ssl.SSLError as error:
            raise Refused(f"TLS failed: {error.reason or error}") from None

    def write(self, data: bytes) -> None:
        """Encrypt; only once `ready`."""
        if data:
            self._object.write(data)

    def outgoing(self) -> bytes:
        """What must go to the network now."""
        return self._outgoing.read()

    def _read(self) -> bytes:
        import ssl

        parts = []
        try:
            while part := self._object.read(65536):
                parts.append(part)
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
        return b"".join(parts)

    def _check_pin(self) -> None:
        if not self._pin:
            return
        found = sha256(self._object.getpeercert(binary_form=True) or b"")
        if found != self._pin:  # neither is a secret
            raise Refused(
                f"its certificate has SHA-256 {found.hex()[:16]}..., the map pins {self._pin.hex()[:16]}...: somebody else answers there"
            )


def load() -> None:
    """Make ready for the first connection that is pinned, as those to relays are. Loaded in a thread: see loading.py."""
    _context(False)


def _ascii(name: str) -> "bytes | None":
    """The name for `ssl`, which would load the IDNA tables for text. ValueError: it is longer than DNS allows, or no ASCII."""
    data = name.encode("ascii")
    if any(not 0 < len(label) < 64 for label in data.removesuffix(b".").split(b".")) and data:
        raise ValueError("label empty or too long")
    return data or None


def _parse_pin(text: str) -> bytes:
    try:
        digest = bytes.fromhex(text.removeprefix(PIN))
    except ValueError:
        digest = b""
    if not text.startswith(PIN) or len(digest) != 32:
        raise Refused("the certificate's pin in the map is malformed: expected sha256-raw: and 64 hex digits")
    return digest


def _context(verify: bool) -> "ssl.SSLContext":
    import ssl

    if verify not in _contexts:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if verify:
            context.load_default_certs()
        else:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        _contexts[verify] = context
    return _contexts[verify]


def _explain(message: str) -> str:
    if "not yet valid" in message or "expired" in message:
        import time

        today = time.strftime("%Y-%m-%d", time.gmtime())
        return (
            f"its certificate is refused: {message}. This board's clock says {today}: set it, or use the gateway's address with #mkey:..."
        )
    return f"its certificate is refused: {message}. Use the gateway's address with #mkey:..., which needs none, or fix the certificate"
