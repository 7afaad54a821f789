# SPDX-License-Identifier: Apache-2.0
"""Bytes that a terminal sends come in, names of keys go out: a character, or a word such as `pagedown`."""

import codecs
import re

_SEQUENCES = {
    "[A": "up", "[B": "down", "[C": "right", "[D": "left", "OA": "up", "OB": "down", "OC": "right", "OD": "left",
    "[H": "home", "[F": "end", "OH": "home", "OF": "end", "[1~": "home", "[4~": "end", "[7~": "home", "[8~": "end",
    "[5~": "pageup", "[6~": "pagedown",
}  # fmt: skip
_CHARACTERS = {"\r": "enter", "\n": "enter", "\x7f": "backspace", "\b": "backspace", "\x1b": "escape"}
# ECMA-48: a control sequence, or one of the application keypad
_SEQUENCE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|O[A-Za-z])")
_BEGUN = re.compile(r"\x1b(\[[0-?]*[ -/]*|O)$")


class Keys:
    """Keeps what may be the beginning of a key until the rest comes."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        self._rest = ""

    def feed(self, raw: bytes) -> list[str]:
        """Keys that are complete by now; unknown ones are left out."""
        text, self._rest = self._rest + self._decoder.decode(raw), ""
        found: list[str] = []
        while text:
            if _BEGUN.match(text):
                self._rest = text
                break
            sequence = _SEQUENCE.match(text)
            if sequence:
                found.append(_SEQUENCES.get(sequence[1], ""))
                text = text[sequence.end() :]
            else:
                character, text = text[0], text[1:]
                found.append(_CHARACTERS.get(character, character if character.isprintable() else ""))
        return [key for key in found if key]
