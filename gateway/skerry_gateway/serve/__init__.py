"""The gateway on a machine: sockets, TLS, timers and signals around the decisions of the other packages. asyncio lives here alone."""
