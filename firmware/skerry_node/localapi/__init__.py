"""The local API: HTTP/1.1 and JSON on a unix socket, compatible with Tailscale's LocalAPI where the same thing exists."""
