"""Portable, sans-IO core: codecs, crypto, path model, filter compiler, engine. No sockets, files, clocks or threads."""
