"""C behind cffi: TUN, crypto over libcrypto, the packet path. No policy and no protocol decisions."""
