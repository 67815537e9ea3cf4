"""Cryptography behind one interface; `pure` is the portable implementation, `skerry_shim.crypto` the one over libcrypto.

Nothing here is imported by the codecs: they take the module as a parameter named `crypto`.
"""
