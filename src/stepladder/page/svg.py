"""Figures of matplotlib as SVG that takes its colours and font from the page."""

import re
from io import StringIO

import matplotlib
from matplotlib.figure import Figure

# Colours that stand for the page's own, so that a dark page has a dark chart.
TEST, TRAIN, TARGET, INK, GRID = "#000001", "#000002", "#000003", "#000004", "#000005"
_VARIABLES = {TEST: "--test", TRAIN: "--train", TARGET: "--target-line", INK: "--muted", GRID: "--line"}


def svg(figure: Figure, name: str) -> str:
    """The figure as an <svg> element: the same text on every run, without sizes, ids of no use, empty groups and namespaces, its
    numbers rounded to tenths of a point."""
    written = StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = written.getvalue()
    text = text[text.index("<svg") :]
    # matplotlib's <style> would apply to the whole page, and its fonts are not the page's.
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.S)
    text = re.sub(r' transform="rotate\(-0 [^"]*"', "", text)
    text = re.sub(r" font-family: [^;\"]*;", "", text)
    text = re.sub(r' (xmlns(:xlink)?|version)="[^"]*"', "", text)
    text = re.sub(r'(<svg\b[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg\b[^>]*?) height="[^"]*"', r"\1", text))
    used = set(re.findall(r"#([\w-]+)", text))
    text = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in used else "", text)
    for color, variable in _VARIABLES.items():
        text = text.replace(color, f"var({variable})")
    return _short(text)


def _short(text: str) -> str:
    """The same drawing in fewer characters: there are many of them on a page."""
    text = re.sub(r"(?<![\w#.])-?\d+\.\d{2,}(?=[ \n\",)])", lambda found: f"{float(found[0]):.1f}".rstrip("0").rstrip("."), text)
    text = re.sub(r'\bd="[^"]*"', lambda found: re.sub(r"\s+", " ", found[0]).replace(' "', '"'), text)
    if "<g " not in text:  # groups without an attribute hold nothing together
        text = re.sub(r"</?g/?>", "", text)
    text = text.replace("xlink:href", "href").replace("; stroke-linecap: square", "")
    return re.sub(r"\n\s*", "\n", re.sub(r"<defs>\s*</defs>", "", text)).strip()
