"""What the benchmarks compute: verdicts, the search for a rate, the blaster over loopback. What they measure is nobody's assertion."""

import json
import subprocess

import pytest

from tests.bench import OURS, THEIRS, Measured
from tests.bench.__main__ import MEASURES, document, names, parse, row
from tests.bench.pair import percentile
from tests.bench.plots import draw, slug
from tests.bench.tcp import DISTURBED, USUAL_MEDIAN
from tests.bench.udp import blaster, search


def measured(ours, theirs, **goal):
    made = Measured("rate, Mbit/s", "Mbit/s", "a goal", **goal)
    made.values = {OURS: ours, THEIRS: theirs}
    return made


@pytest.mark.parametrize(
    ("ours", "theirs", "goal", "met"),
    [
        ([4.0, 5.0, 9.0], [2.0, 2.5, 3.0], {"times": 2, "more": True}, True),
        ([4.0, 4.9, 9.0], [2.0, 2.5, 3.0], {"times": 2, "more": True}, False),
        ([1.0], [2.5], {"times": 0.5}, True),
        ([1.3], [2.5], {"times": 0.5}, False),
        ([24.0], [], {"limit": 25}, True),
        ([26.0], [50.0], {"limit": 25}, False),
        ([3.0], [1.0], {"above": 2}, True),
        ([3.1], [1.0], {"above": 2}, False),
        ([3.0], [], {"times": 2, "more": True}, None),
        ([], [1.0], {"limit": 2}, None),
    ],
)
def test_verdicts(ours, theirs, goal, met):
    assert measured(ours, theirs, **goal).met() is met


def test_a_disturbed_run_has_no_verdict_and_no_ratio():
    each = measured([4000.0], [1900.0], times=2, more=True)
    each.invalid = "this machine was busy"
    assert each.met() is None and "INVALID: this machine was busy" in row(each) and "x  " not in row(each)
    assert DISTURBED * USUAL_MEDIAN < USUAL_MEDIAN


def test_rows_and_documents():
    each = measured([4.0, 5.0, 9.0], [2.0, 2.5, 3.0], times=2, more=True)
    assert "2.00x" in row(each) and "5.00 (4.00-9.00)" in row(each) and "met: a goal" in row(each)
    shown = json.loads(json.dumps(document(each)))
    assert shown["ratio"] == 2 and shown[OURS]["values"] == [4.0, 5.0, 9.0] and shown["met"] is True


@pytest.mark.parametrize("limit", [0.0, 30.0, 50.0, 333.0, 4000.0, 1e9])
def test_the_search_ends_near_the_limit(limit):
    asked = []
    found = search(lambda rate: asked.append(rate) or rate <= limit)
    assert found <= limit or found == 0
    assert len(asked) < 20
    if 50 <= limit < 1e6:
        assert found > 0.9 * limit
    if limit == 30:
        assert found > 25


def test_the_blaster_counts():
    program = str(blaster())
    with subprocess.Popen([program, "receive", "127.0.0.1", "47001"], stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout.readline() == "ready\n"
        done = subprocess.run([program, "send", "127.0.0.1", "47001", "1200", "2000", "300"], capture_output=True, text=True, check=True)
        received = int(receiver.stdout.readline().split()[0])
    sent, milliseconds = done.stdout.split()
    assert 300 <= int(sent) <= 600 and received == int(sent) and float(milliseconds) >= 300
    assert subprocess.run([program, "send"], capture_output=True).returncode == 2


def test_names_and_arguments(capsys):
    assert names("tcp,udp") == ["tcp", "udp"] and parse(["--quick"]).only == list(MEASURES)
    for wrong in (["--only", "warp"], ["--rounds", "0"]):
        with pytest.raises(SystemExit):
            parse(wrong)
    assert "warp" in capsys.readouterr().err


def test_plots(tmp_path):
    drawn = draw([measured([4.0, 5.0], [2.0, 2.5], times=2, more=True), measured([], [], limit=1)], tmp_path)
    assert [path.name for path in drawn] == [f"{slug('rate, Mbit/s')}.svg"] and drawn[0].read_text().count("<svg") == 1


def test_percentiles():
    assert percentile([float(i) for i in range(100)], 0.99) == 99 and percentile([3.0], 0.5) == 3.0
