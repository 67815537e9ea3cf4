"""The adapter for boards without an operating system: `skerry_core`'s engine and Python transport on MicroPython.

What exists: `adapt_pure25519`, the build step (on CPython) that gives MicroPython the group arithmetic of Ed25519 and SPAKE2. The core
itself imports and passes its vectors on MicroPython 1.25; there is no adapter yet, so a board cannot join a network.

What an adapter has to supply, because the core takes it as a parameter:
- `now`: milliseconds as an int that never goes back; `time.ticks_ms` wraps, `ticks_diff` must be accumulated.
- `random(n)`: some boards' generators are predictable while the radio is off; mix a seed that is kept in flash.
- `crypto`: `skerry_core.crypto.pure`, or kernels of the same interface compiled for the board.
- the streams, datagrams and the state the engine's actions ask for, from one `select.poll` loop.

Costs of `skerry_core.crypto.pure`, milliseconds of processor time on a 64-bit x86 machine, the best of four runs:

    operation                    CPython 3.11    MicroPython 1.25
    X25519                       1.05            3.2
    seal, 1280 bytes             0.17            0.76
    seal, 32 bytes               0.03            0.10
    BLAKE2s, 64 bytes            0.03            0.08
    NaCl box, 128 bytes          0.07            0.20
    HKDF, three outputs          0.38            1.2
    Ed25519 verification         2.5             11

It is not an operating system's node (`skerry_node`), and no second engine.
"""
