"""What is drawn becomes part of a page: its colours are the page's, it is small, and it asks for nothing."""

from __future__ import annotations

import re
from collections.abc import Collection

# What is drawn in, on a light and on a dark page.
COLOURS = {
    "ink": ("#1b1b1f", "#ececf1"),
    "muted": ("#5d5d66", "#a9a9b4"),
    "line": ("#d5d5dc", "#3d3d47"),
    "paper": ("#ffffff", "#17171b"),
    "c0": ("#0072b2", "#4db3f0"),
    "c1": ("#d55e00", "#ff9147"),
    "c2": ("#009e73", "#2fd0a0"),
    "c3": ("#cc79a7", "#eba3cb"),
    "c4": ("#8a6d00", "#e6c84d"),
    "c5": ("#56b4e9", "#8fd0ff"),
    "c6": ("#7a4fa3", "#bb98e0"),
    "c7": ("#666666", "#b5b5b5"),
}
LIGHT, DARK = ({name: both[i] for name, both in COLOURS.items()} for i in (0, 1))
STAND_INS = {name: f"#0{i:x}fe0{i:x}" for i, name in enumerate(COLOURS)}  # colours that nothing else has


def for_page(text: str, title: str, name: str) -> str:
    """An SVG file as an element: no prologue, no metadata, colours of the page, the page's font."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.S)
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
    kept = set(re.findall(r'(?:url\(|href=")#([\w.-]+)', text))
    text = _without_bare_groups(re.sub(r"<[^>]*>", lambda tag: _tag(tag[0], name, kept), text))
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)
    assert size is not None
    width = round(float(size[1]) * 4 / 3)
    head = f'<svg role="img" aria-label="{_escaped(title)}" viewBox="{size[0][9:-1]}" width="{width}"'
    return re.sub(r"^<svg[^>]*", head, text).strip()


def _tag(tag: str, name: str, kept: Collection[str]) -> str:
    """A tag with the page's colours and font, and with an id of its own where one is referred to."""
    for word, stand_in in STAND_INS.items():
        tag = tag.replace(stand_in, f"var(--{word})")
    tag = re.sub(r"\s+", " ", tag)
    tag = re.sub(r"font-family: [^;\"]*;? ?|font: ([\d.]+px) [^;\"]*", _size, tag)
    tag = re.sub(r' id="([^"]*)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in kept else "", tag)
    tag = re.sub(r'(url\(#|href="#)', rf"\1{name}-", tag)
    tag = re.sub(r' transform="rotate\(-0 [^"]*"', "", tag)
    return re.sub(r"(\d\.\d\d)\d+", r"\1", tag)  # a hundredth of a point is enough


def _size(font: re.Match[str]) -> str:
    return f"font-size: {font[1]}" if font[1] else ""


def _without_bare_groups(text: str) -> str:
    """Without groups that say nothing, and without the space between tags."""
    parts: list[str] = []
    kept: list[bool] = []
    for part in re.split(r"(<[^>]*>)", text):
        if part.startswith("<g") and not part.endswith("/>"):
            kept.append(part != "<g>")
        if part in ("<g>", "<g/>") or (part == "</g>" and not kept.pop()) or not part.strip():
            continue
        parts.append(part)
    return "".join(parts).replace("<defs></defs>", "")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
