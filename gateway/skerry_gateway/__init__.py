"""The gateway: control, policy, relay, STUN, store, console."""
