"""WireGuard without I/O: message layouts, the Noise_IKpsk2 handshake, MACs and cookies, TAI64N stamps, the replay window.

Source: the WireGuard paper ("Next Generation Kernel Network Tunnel") and https://www.wireguard.com/protocol/. The preshared key is all
zero. Timers and sessions are the engine's, packets of sessions the transport's.
"""
