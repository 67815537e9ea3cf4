"""node.toml and the checks it shares with the command line."""

import pytest

from skerry_core.errors import LocalError
from skerry_node import node_toml

KEY = "mkey:" + "0a" * 32


def written(tmp_path, text):
    path = tmp_path / "node.toml"
    path.write_text(text)
    return str(path)


def test_everything_that_may_be_said(tmp_path):
    text = f'gateway = "https://gw.example:8443#{KEY}"\nkey = "file:/run/key"\nhostname = "camera-1"\ntun = "skerry0"\nport = 0\n'
    text += 'routes = ["192.168.10.0/24", "fd00:1::/64"]\naccept_routes = true\naccept_dns = false\nrelay_server_port = 0\n'
    text += 'advertise_exit_node = true\nexit_node = "office"\nexit_node_allow_lan_access = true\nsnat_subnet_routes = false\n'
    document = node_toml.load(written(tmp_path, text))
    assert document["port"] == 0 and document["hostname"] == "camera-1" and set(document) == set(node_toml.SCHEMA)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gatway = 'https://x'", 'unknown field "gatway"; known are gateway, key'),
        ("port = '41641'", "port must be a number, not str"),
        ("port = true", "port must be a number, not bool"),
        ("port = 65536", "65536 is not a port"),
        ("port = -1", "-1 is not a port"),
        ("relay_server_port = 65536", "65536 is not a port: expected 1 to 65535, 0 for any free one, or -1 to relay for nobody"),
        ("hostname = 'a b'", '"a b" is not a host name'),
        ("hostname = '-i'", "is not a host name"),
        ("gateway = 'ftp://x'", '"ftp://" is not a scheme'),
        ("gateway = 'gw.example'", "is not a URL"),
        ("routes = ['10.0.0.1/8']", "has bits set after its first 8"),
        ("routes = ['0.0.0.0/0']", "advertise_exit_node = true"),
        ("exit_node = 'a b'", "is no name or address of a peer"),
        ("routes = [7]", "7 is not a subnet"),
        ("tun = 'a/b'", "is not an interface name"),
        ("tun = 'sixteen-letters-'", "is not an interface name"),
        ("port = ", "is not TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, said):
    path = written(tmp_path, text)
    with pytest.raises(LocalError) as error:
        node_toml.load(path)
    assert said in str(error.value) and path in str(error.value)


def test_a_key_is_never_quoted(tmp_path):
    for text in ("key = 'canary with spaces'", "key = 'canary\n", "key = canary"):
        with pytest.raises(LocalError) as error:
            node_toml.load(written(tmp_path, text))
        assert "canary" not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://gw.example",
        "http://192.0.2.1:8080",
        "http://[2001:db8::1]:80",
        "https://gw.example/",
        f"https://gw#{KEY}",
        "http://localhost:1",
    ],
)
def test_good_gateways(url):
    assert node_toml.check_gateway(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "gw",
        "htps://gw",
        "https://",
        "https:///x",
        "https://gw/admin",
        "https://u@gw",
        "https://gw:0",
        "https://gw:65536",
        "https://gw:x",
        "http://2001:db8::1",
        "https://gw#mkey:12",
        "https://gw#nodekey:" + "0a" * 32,
        "https://g w",
        "https://gw?x=1",
        "HTTPS//gw",
    ],
)
def test_bad_gateways_say_what_to_do(url):
    assert ": " in node_toml.check_gateway(url)


def test_key_from_a_file(tmp_path):
    path = tmp_path / "key"
    path.write_text("skerry-key-abc\nmore\n")
    assert node_toml.read_key(f"file:{path}") == "skerry-key-abc"
    assert node_toml.read_key("plain") == "plain"
    path.write_text("")
    with pytest.raises(LocalError, match="pre-auth key is empty"):
        node_toml.read_key(f"file:{path}")
    with pytest.raises(LocalError, match="cannot read the pre-auth key"):
        node_toml.read_key(f"file:{path}.none")
