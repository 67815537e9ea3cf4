"""The simulator: engines, the gateway's decisions and a relay in one process and in virtual time, with seeded faults.

    world.py     the clock, the event heap, the random numbers, the trace hash and the hit counters
    network.py   hosts, NATs, datagrams with loss, delay, duplication and reordering, partitions
    streams.py   byte streams (what TCP gives), stalled by partitions, broken by crashes
    board.py     a node: a real engine and the Python transport behind the same adapter duties as skerryd's
    server.py    the gateway: the real coordinator, relay and STUN answers behind their HTTP heads
    scenario.py  who talks to whom, which faults happen when, and what must hold at the end
    planted.py   bugs planted on purpose: the scenario must fail with each

Everything but sockets and the clock is the product's own code, crypto included. The same seed gives the same trace hash.
`python -m tests.sim --seed 7 --nodes 50 --hours 24` runs one; a seed that ever failed is kept in test_seeds.py.
"""
