"""Changes to a statement's tokens: by the place of a word, with spaces and comments left alone."""

from __future__ import annotations

from ess_dask.testing.redshift.tokens import Token


class Edits:
    """A statement whose words are counted without spaces; a place past the end has no text."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._places = [i for i, token in enumerate(tokens) if token.kind != "space"]
        self._texts = {i: tokens[i].text for i in self._places}

    def __len__(self) -> int:
        return len(self._places)

    def token(self, place: int) -> Token:
        """Return the token as the client wrote it."""
        return self._tokens[self._places[place]] if place < len(self) else Token("end", "")

    def word(self, place: int) -> str:
        """Return a word in capitals, or a sign; of anything else its text."""
        return self.token(place).upper if place < len(self) else ""

    def words(self, place: int, count: int) -> tuple[str, ...]:
        """Return some words in a row."""
        return tuple(self.word(place + i) for i in range(count))

    def put(self, place: int, text: str) -> None:
        """Write something else in a word's place."""
        self._texts[self._places[place]] = text

    def drop(self, start: int, end: int) -> None:
        """Leave words out, from ``start`` up to before ``end``."""
        for place in range(start, min(end, len(self))):
            self.put(place, "")

    def after(self, place: int, text: str) -> None:
        """Write something behind a word."""
        self._texts[self._places[place]] += text

    def closing(self, place: int) -> int:
        """Return the place of the bracket that closes the one at ``place``; else the end."""
        depth = 0
        for here in range(place, len(self)):
            depth += (self.word(here) == "(") - (self.word(here) == ")")
            if depth == 0:
                return here
        return len(self)

    def past_brackets(self, place: int) -> int:
        """Return the place behind brackets that open at ``place``; ``place`` if none do."""
        return self.closing(place) + 1 if self.word(place) == "(" else place

    def split(self, start: int, end: int) -> list[tuple[int, int]]:
        """Return the (start, end) of the parts between the commas outside of brackets."""
        parts, here = [], start
        first = start
        while here < end:
            if self.word(here) == "(":
                here = self.closing(here)
            elif self.word(here) == ",":
                parts.append((first, here))
                first = here + 1
            here += 1
        return [*parts, (first, end)]

    def text(self) -> str:
        """Return the statement with its changes."""
        return "".join(self._texts.get(i, token.text) for i, token in enumerate(self._tokens))
