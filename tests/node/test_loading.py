"""What is loaded in a thread: once, told at once when the first part is there, and no failure of it reaches the loop."""

import select
import sys
import threading

from skerry_node.loading import Loading


def readable(loading, seconds=5):
    return bool(select.select([loading.fileno()], [], [], seconds)[0])


def test_it_tells_after_the_first_part_and_goes_on_with_the_second():
    go, ended, ran = threading.Event(), threading.Event(), []

    def then():
        go.wait(5)
        ran.append("then")
        ended.set()

    loading = Loading(lambda: ran.append("load"), then)
    assert not readable(loading, 0) and not loading.done
    loading.begin()
    loading.begin()
    assert readable(loading) and loading.done and ran == ["load"]
    go.set()
    assert ended.wait(5) and ran == ["load", "then"]
    loading.close()


def test_what_cannot_be_loaded_is_left_to_who_needs_it():
    def missing():
        raise ImportError("no such library")

    before, loading = sys.getswitchinterval(), Loading(missing, missing)
    loading.begin()
    assert readable(loading) and loading.done
    loading.close()
    while sys.getswitchinterval() != before:
        select.select([], [], [], 0.001)


def test_it_may_end_after_the_owner_is_gone():
    go, ended = threading.Event(), threading.Event()
    loading = Loading(lambda: go.wait(5), ended.set)
    loading.begin()
    loading.close()
    go.set()
    assert ended.wait(5)
