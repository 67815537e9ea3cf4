"""The shared style sheet: contrast by WCAG 2.2 (1.4.3 text 4.5 to 1, 1.4.11 what one must see 3 to 1) in both themes, and QR codes."""

import re
from pathlib import Path

import pytest

from skerry_web import files, qr, words

STYLE = files.SHARED["style.css"][0].decode()
# colour of the text, of what is behind it
TEXT = [(ink, ground) for ink in ("ink", "soft", "accent", "good", "warn", "bad") for ground in ("ground", "sheet")]
TEXT += [("on-accent", "accent"), ("sheet", "bad")]
SEEN = [("accent", "ground"), ("accent", "sheet"), ("control", "ground"), ("control", "sheet")]  # focus rings, edges of fields and buttons


def themes() -> dict[str, dict[str, str]]:
    """The variables of both themes."""
    light = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", STYLE.partition("@media")[0]))
    dark = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", STYLE.partition("prefers-color-scheme: dark")[2].partition("}\n}")[0]))
    assert set(light) == set(dark)
    return {"light": light, "dark": dark}


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_the_formula_is_the_standards():
    assert contrast("#000000", "#ffffff") == pytest.approx(21) and contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_edges_can_be_seen(theme):
    colours = themes()[theme]
    found = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in TEXT}
    assert {pair: ratio for pair, ratio in found.items() if ratio < 4.5} == {}
    found = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in SEEN}
    assert {pair: ratio for pair, ratio in found.items() if ratio < 3} == {}


def test_nothing_is_loaded_from_elsewhere_and_the_focus_is_shown():
    root = Path(__file__).parent.parent.parent
    for path in [*root.glob("web/**/*.css"), *root.glob("**/templates/*.html"), *root.glob("**/static/*.js")]:
        text = path.read_text()
        assert not re.search(r"@import|url\(|(src|href)=\"(https?:)?//|style=\"|<style|\bon\w+=\"", text), path
    assert ":focus-visible { outline: 2px solid var(--accent)" in STYLE and "outline: none" not in STYLE


def test_a_qr_code_says_its_text_in_dark_on_light():
    drawn = str(qr.svg("http://192.0.2.1:8080/register/<x>", 'a "label"'))
    assert 'aria-label="a &#34;label&#34;"' in drawn and 'fill="#ffffff"' in drawn and "style=" not in drawn
    size = int(re.search(r'viewBox="0 0 (\d+) ', drawn)[1])
    dark = {(int(x), int(y)) for x, y in re.findall(r"M(\d+) (\d+)h1v1h-1z", drawn)}
    for left, top in ((4, 4), (size - 11, 4), (4, size - 11)):  # the three finder patterns, four modules from the edge
        assert all((left + at, top) in dark and (left, top + at) in dark for at in range(7))
        assert all((left + 1 + at, top + 1) not in dark for at in range(5))
    assert min(min(place) for place in dark) == 4
    assert qr.svg("x" * 5_000, "") == "" == qr.svg("", "")


def test_amounts_have_three_digits():
    assert [words.amount(n) for n in (0, 999, 1_000, 9_949, 9_950, 999_499, 999_500, 34_000_000, 10**15, 10**19)] == [
        "0 B", "999 B", "1.0 kB", "9.9 kB", "10 kB", "999 kB", "1.0 MB", "34 MB", "1.0 PB", "10000 PB",
    ]  # fmt: skip
