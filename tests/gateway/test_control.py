from tests.gateway.control_bench import Client, Gateway, join


def test_smoke():
    gateway = Gateway()
    a = join(gateway, 1)
    b = join(gateway, 2)
    print(a.maps)
    print(b.maps)
    assert list(a.peers()) == ["host2"]
    assert list(b.peers()) == ["host1"]
