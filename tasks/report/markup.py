"""HTML that cannot be broken by what is put into it: text is escaped unless it was made here."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

LONGEST = 1500
"""Most characters shown of a text."""


class Html(str):
    """Markup that is safe to put into a page as it is."""

    __slots__ = ()


Content = str | Iterable["Content"] | None


def tag(name: str, *content: Content, css: str = "", **attributes: str) -> Html:
    """An element; strings in it are escaped, ``Html`` is not, None is nothing."""
    given = {"class": css, **attributes} if css else attributes
    opening = "".join(f' {key}="{html.escape(value)}"' for key, value in given.items())
    return Html(f"<{name}{opening}>{join(content)}</{name}>")


def join(content: Content) -> Html:
    """All of it, one after the other."""
    if content is None:
        return Html("")
    if isinstance(content, Html):
        return content
    if isinstance(content, str):
        return Html(html.escape(content))
    return Html("".join(join(part) for part in content))


def quoted(text: str | None) -> Html:
    """A text that somebody or something wrote: shown as it is, invisible and direction-changing characters spelled out."""
    if text is None:
        return tag("span", "none", css="soft")
    shown = visible(text[:LONGEST])
    more = f" … {len(text) - LONGEST} more characters" if len(text) > LONGEST else None
    return tag("code", shown) if more is None else Html(tag("code", shown) + tag("span", more, css="soft"))


def visible(text: str) -> str:
    """The text with invisible and direction-changing characters spelled out; tabs and line ends stay."""
    return "".join(char if char.isprintable() or char in "\n\t" else f"\\u{ord(char):04x}" for char in text)


def table(head: Sequence[str], rows: Iterable[Sequence[Content]], numbers: Sequence[int] = ()) -> Html:
    """A table whose columns ``numbers`` are set to the right."""

    def line(kind: str, cells: Sequence[Content]) -> Html:
        return tag("tr", [tag(kind, cell, css="number" if index in numbers else "") for index, cell in enumerate(cells)])

    return tag("div", tag("table", tag("thead", line("th", head)), tag("tbody", [line("td", row) for row in rows])), css="scroll")


def page(title: str, style: str, content: Content) -> str:
    """A whole document that loads nothing: its policy forbids the browser to."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>\n{style}</style></head>\n<body>\n{join(content)}\n</body></html>\n"
    )
