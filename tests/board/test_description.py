"""Boards as TOML: what is inherited, added, replaced, and how a wrong file is refused."""

import json

import pytest

from skerry_board.description import FOLDER, load, names, overlays
from skerry_core.errors import LocalError
from skerry_image.cli import main


def test_every_board_and_overlay_of_the_project_loads():
    assert names() == ["rpi-arm64", "virt-amd64", "virt-arm64"] and overlays() == ["ec25", "sim7600"]
    for name in names():
        for overlay in overlays():
            board = load(name, [overlay])
            assert board["modem.family"].lower() == overlay and "modemmanager" in board["packages"] and "erofs" in board["modules"]
            assert len(set(board["modules"])) == len(board["modules"])


def test_lists_add_or_replace_and_tables_merge(tmp_path):
    (tmp_path / "defaults.toml").write_text('modules = ["a", "b"]\npackages = ["p"]\n[boot]\nmethod = "u-boot"\nu_boot = "x"\n')
    (tmp_path / "one.toml").write_text('models = ["m"]\nmodules = ["+", "b", "c"]\npackages = ["q"]\n[boot]\nu_boot = "y"\n')
    (tmp_path / "hat.overlay.toml").write_text('modules = ["+", "d"]\n')
    board = load("one", ["hat"], tmp_path)
    assert board["modules"] == ["a", "b", "c", "d"] and board["packages"] == ["q"]
    assert (board["boot.method"], board["boot.u_boot"]) == ("u-boot", "y")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('models = ["m"]\ncolour = "red"', '"colour" is no key'),
        ('models = "m"', "models is a list of texts, found 'm'"),
        ('models = ["m"]\narchitecture = "sparc"', "one of arm64, amd64, found 'sparc'"),
        ('models = ["m"]\n[layout]\nslot = -1', "layout.slot is a whole number from 0, found -1"),
        ('models = ["m"]\n[layout]\nslot = true', "found True"),
        ("models = [", "cannot be read"),
        ('title = "x"', "models is missing"),
        ('models = ["m\\u0007"]', "a list of texts"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(tmp_path, text, words):
    (tmp_path / "defaults.toml").write_text((FOLDER / "defaults.toml").read_text())
    (tmp_path / "one.toml").write_text(text)
    with pytest.raises(LocalError) as caught:
        load("one", folder=tmp_path)
    assert words in str(caught.value) and "one.toml" in str(caught.value)


def test_the_command_lists_and_shows(capsys):
    assert main(["boards"]) == 0 and "rpi-arm64     Raspberry Pi Zero 2 W" in capsys.readouterr().out
    assert main(["boards", "rpi-arm64", "--overlay", "sim7600", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["modem.power_gpio"] == 6
    assert main(["boards", "pi5"]) == 1 and 'no board "pi5"; there are rpi-arm64' in capsys.readouterr().err
