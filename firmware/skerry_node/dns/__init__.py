"""Names on this host: the resolver's sockets (listening.py, asking.py), the host's own settings (system.py, resolvconf.py and the root
program guard.py), skerryd's own look-ups (lookup.py), and what joins them (service.py). What is answered is decided in skerry_core.dns.
"""
