"""What a program printed, as a terminal shows it: lines overwritten, colours."""

import re

from markupsafe import Markup, escape

ESCAPE = re.compile(
    r"\x1b\[([0-9;:?]{0,64})([@-~])"  # colours end with m; the rest moves the cursor
    r"|\x1b\][^\x07\x1b]{0,4000}(?:\x07|\x1b\\)?"  # titles and links
    r"|\x1b."
    r"|\x1b$",
    re.DOTALL,
)
NAMES = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")


def terminal(text: str) -> Markup:
    """Printed text as HTML: after \\r a line is overwritten, as a progress bar is; ANSI
    colours become spans of the classes `ansi-...`."""
    lines = text.replace("\r\n", "\n").split("\n")
    return _coloured("\n".join(_overwritten(line) for line in lines))


def plain(text: str) -> str:
    """Without its escape sequences."""
    return ESCAPE.sub("", text).replace("\x1b", "")


def _overwritten(line: str) -> str:
    """What can be seen of a line in the end."""
    if "\b" in line:
        kept: list[str] = []
        for letter in line:
            if letter != "\b":
                kept.append(letter)
            elif kept and kept[-1] != "\r":
                kept.pop()
        line = "".join(kept)
    if "\r" not in line:
        return line
    shown: list[str] = []
    coloured = "\x1b" in line  # then a letter's place in the text is not its column
    for part in line.split("\r"):
        if part and coloured:
            shown = [part]
        elif part:
            shown[: len(part)] = part
    return "".join(shown)


def _coloured(text: str) -> Markup:
    pieces, state, at = [], _State(), 0
    for found in ESCAPE.finditer(text):
        pieces.append(state.span(text[at : found.start()]))
        at = found.end()
        if found[2] == "m":
            state.take(found[1])
    pieces.append(state.span(text[at:]))
    return Markup("").join(pieces)


class _State:
    """The colours in force."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.front = self.back = ""  # a name of NAMES, or "rgb(...)"
        self.bold = self.underline = self.inverse = False

    def span(self, text: str) -> Markup:
        if not text:
            return Markup("")
        front, back = self.front, self.back
        if self.inverse:
            front, back = back or "inverse", front or "inverse"
        classes, styles = [], []
        for colour, end, style in (
            (front, "fg", "color"),
            (back, "bg", "background-color"),
        ):
            if colour.startswith("rgb"):
                styles.append(f"{style}: {colour}")
            elif colour:
                classes.append(f"ansi-{colour}-{end}")
        classes += ["ansi-bold"] * self.bold + ["ansi-underline"] * self.underline
        if not classes and not styles:
            return escape(text)
        look = Markup(' class="{}"').format(" ".join(classes)) if classes else ""
        look += Markup(' style="{}"').format("; ".join(styles)) if styles else ""
        return Markup("<span{}>{}</span>").format(look, text)

    def take(self, codes: str) -> None:
        numbers = [int(n) if n.isdigit() else 0 for n in re.split("[;:]", codes)]
        while numbers:
            n = numbers.pop(0)
            if n == 0:
                self.reset()
            elif n in (1, 5, 21, 22):
                self.bold = n in (1, 5)
            elif n in (4, 24):
                self.underline = n == 4
            elif n in (7, 27):
                self.inverse = n == 7
            elif n in (38, 48):
                self._set(n == 38, _extended(numbers))
            elif n in (39, 49):
                self._set(n == 39, "")
            elif n // 10 in (3, 4) and n % 10 < 8:
                self._set(n < 40, NAMES[n % 10])
            elif n // 10 in (9, 10) and n % 10 < 8:
                self._set(n < 100, f"{NAMES[n % 10]}-intense")

    def _set(self, front: bool, colour: str) -> None:
        if front:
            self.front = colour
        else:
            self.back = colour


def _extended(numbers: list[int]) -> str:
    """The colour after 38 or 48: "2;R;G;B", or "5;N" of 256 colours. Takes its numbers
    away."""
    kind = numbers.pop(0) if numbers else 0
    if kind == 2:
        red, green, blue = [*numbers[:3], 0, 0, 0][:3]
        del numbers[:3]
        return f"rgb({min(red, 255)},{min(green, 255)},{min(blue, 255)})"
    if kind != 5 or not numbers:
        return ""
    n = min(numbers.pop(0), 255)
    if n < 16:
        return NAMES[n % 8] + ("-intense" if n > 7 else "")
    if n >= 232:
        grey = (n - 232) * 10 + 8
        return f"rgb({grey},{grey},{grey})"
    steps = [(n - 16) // 36, (n - 16) % 36 // 6, (n - 16) % 6]
    return f"rgb({','.join(str(55 + 40 * s if s else 0) for s in steps)})"
