"""DNS for this node, sans-IO: messages (message.py), what is answered here and who is asked for the rest (names.py), answers that were
given before (cache.py), and the resolver that joins them (resolver.py). Sockets and the operating system's settings are the adapter's.
"""
