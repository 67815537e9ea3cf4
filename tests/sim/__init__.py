"""The simulator: engines, the gateway's decisions and a relay in one process and in virtual time, with seeded faults.

    world.py     the clock, the event heap, the random numbers, the trace hash and the hit counters
    network.py   hosts, NATs, datagrams with loss, delay, duplication and reordering, partitions
    streams.py   byte streams (what TCP gives), stalled by partitions, broken by crashes
    board.py     a node: a real engine and the Python transport behind the same adapter duties as skerryd's
    server.py    the gateway: the real coordinator, relay and STUN answers behind their HTTP heads
    checks.py    what must hold at every moment
    faults.py    what goes wrong, each kind a method
    scenario.py  who talks to whom, and when what goes wrong
    ending.py    what must hold at the end, when everything is healed
    planted.py   bugs planted on purpose: the scenario must fail with each

Everything but sockets and the clock is the product's own code, crypto included. The same seed gives the same trace hash.
Two things are not real: datagrams are not cut to an MTU, and a stream's bytes never wait for a slow reader.
`python -m tests.sim --seed 7 --nodes 50 --hours 24` runs one; a seed that ever failed is kept in test_seeds.py.
"""
