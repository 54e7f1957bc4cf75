"""Follow #pragma pack and #pragma dtc: the packing of structs, who sends a message, and its marks."""

import re
from typing import NoReturn

from codegen.names import Names

SENDERS = ("client", "server", "both")
MARKS = ("compact", "legacy", "nonstandard")
PACKS = (1, 2, 4, 8, 16)
NATURAL = 8
"""The packing where no #pragma pack is: no field of a message has a larger alignment."""


class Pragmas:
    """Follow the #pragma lines of one file after another.

    pack: the packing that structs have now, in bytes.
    are_stated: structs of this header state by #pragma dtc who sends them, as codegen/dtc.h does.
    """

    def __init__(self, names: Names) -> None:
        self.pack = NATURAL
        self.are_stated = False
        self._names = names
        self._packs: list[tuple[int, int]] = []  # (bytes before, line)
        self._marks: tuple[str, int] | None = None  # the #pragma dtc that waits for its struct

    def add(self, text: str, line: int) -> None:
        """Follow a #pragma. Raises HeaderError."""
        if text == "dtc" or text.startswith("dtc "):
            self._marks = (text.removeprefix("dtc").strip(), line)
            self.are_stated = True
            return
        match = re.fullmatch(r"pack\s*\((.*)\)", text)
        if not match:
            self._fail(line, f"unknown #pragma {text}")
        arguments = [argument.strip() for argument in match.group(1).split(",")]
        if arguments[0] == "pop":
            self._pop(line)
            return
        if arguments[0] == "push":
            self._packs.append((self.pack, line))
        size = arguments[-1]
        if size.isdecimal():
            if int(size) not in PACKS:
                self._fail(line, f"cannot pack to {size} bytes")
            self.pack = int(size)
        elif arguments == [""]:
            self.pack = NATURAL
        elif arguments[0] != "push":
            self._fail(line, f"unknown #pragma {text}")

    def _pop(self, line: int) -> None:
        if not self._packs and self.are_stated:
            self._fail(line, "nothing to pop: no #pragma pack(push) before this")
        self.pack = self._packs.pop()[0] if self._packs else NATURAL

    def take_marks(self) -> tuple[str, tuple[str, ...]]:
        """Return the sender and the marks of the struct that is read now."""
        if self._marks is None:
            return "", ()
        text, line = self._marks
        self._marks = None
        sender, *marks = text.split() or [""]
        if sender not in SENDERS:
            self._fail(line, f"who sends it? {sender or 'nothing'} is none of {', '.join(SENDERS)}")
        for mark in marks:
            if mark not in MARKS:
                self._fail(line, f"unknown mark {mark}; known are {', '.join(MARKS)}")
            if marks.count(mark) > 1:
                self._fail(line, f"{mark} is stated twice")
        return sender, tuple(mark for mark in MARKS if mark in marks)

    def need_no_marks(self) -> None:
        """Raise HeaderError if a #pragma dtc waits for a struct."""
        if self._marks:
            self._fail(self._marks[1], "a struct must follow this #pragma dtc")

    def finish(self) -> None:
        """Raise HeaderError for a packing that was not ended, in headers of our own dialect."""
        if self._packs and self.are_stated:
            self._fail(self._packs[-1][1], "this #pragma pack(push) has no pack(pop)")

    def _fail(self, line: int, what: str) -> NoReturn:
        self._names.fail(line, what)
