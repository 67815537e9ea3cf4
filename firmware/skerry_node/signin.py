"""The code of a sign-in link: the device and the gateway's approval page show the same, so that a person sees they mean the same device.

```
link   <gateway>/register/<token, 43 of A-Z a-z 0-9 - _>
code   first 8 characters of base32(sha256("code" | token)), as XXXX-XXXX
```
Links of other control servers have no code. The code proves nothing to the gateway: whoever has the link can make it.
"""

LENGTH = 43  # characters of a token


def code_of(url: str) -> str:
    """The code, "" where the link is not one of a Skerry gateway."""
    import base64
    import hashlib

    before, slash, token = url.rpartition("/register/")
    plain = token.replace("-", "").replace("_", "")
    if not slash or "/" in before.partition("://")[2] or len(token) != LENGTH or not (plain.isascii() and plain.isalnum()):
        return ""
    text = base64.b32encode(hashlib.sha256(b"code" + token.encode()).digest()).decode()
    return f"{text[:4]}-{text[4:8]}"
