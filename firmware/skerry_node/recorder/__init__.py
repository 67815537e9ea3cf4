"""The flight recorder: what the engine was told and what it decided, so that an hour later the decisions can be made again, bit for bit.

    values.py     values as JSON, with bytes, tuples and secrets
    graph.py      the engine's state as lines of it, and back
    segment.py    lines in bounded memory, compressed
    recorder.py   stands before the engine in skerryd
    recording.py  the file
    replay.py     the engine again, fed from the file
    timeline.py   a replay for people; svg.py: as a drawing

No secret is kept: in place of a key, of what is derived from keys, and of a pre-auth key there is its length. A replay computes no
cryptography; it takes the results that were recorded, and never needs a key.
"""
