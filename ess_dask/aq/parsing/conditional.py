"""``-if`` to ``-endif`` in an option list, for every program that has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from ess_dask.aq.errors import OptionError
from ess_dask.aq.parsing.tokens import Option, Tokens

Rule = TypeVar("Rule")
Check = TypeVar("Check")

MAX_NESTING = 64
"""Conditions within conditions."""
CLOSING = ("-elif", "-elifnot", "-else", "-endif")
"""What ends the rules of a branch."""


class ConditionalReader(Generic[Rule, Check]):
    """Reads conditions; ``rule`` reads what an option begins (None: no rule of its own), ``check``
    what stands behind an ``-if`` or ``-elif``."""

    def __init__(
        self,
        tokens: Tokens,
        rule: Callable[[Option], Rule | None],
        check: Callable[[Option], Check],
    ) -> None:
        self._tokens = tokens
        self._rule = rule
        self._check = check
        self._nesting = 0

    def read(
        self, opener: Option
    ) -> tuple[list[tuple[Check, bool, tuple[Rule, ...]]], tuple[Rule, ...]]:
        """Return (check, whether negated, rules) of each branch, and the rules of ``-else``.

        Raises ``OptionError`` for one that is not closed, or nested too deeply.
        """
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise OptionError(f"more than {MAX_NESTING} nested -if")
        branches: list[tuple[Check, bool, tuple[Rule, ...]]] = []
        otherwise: tuple[Rule, ...] = ()
        while opener.name != "-endif":
            if opener.name == "-else":
                otherwise, opener = self._block(opener)
                if opener.name != "-endif":
                    raise OptionError(f"{opener.text!r} after -else")
            else:
                check = self._check(opener)
                rules, following = self._block(opener)
                branches.append((check, opener.name.endswith("not"), rules))
                opener = following
        self._nesting -= 1
        return branches, otherwise

    def _block(self, opener: Option) -> tuple[tuple[Rule, ...], Option]:
        """Return the rules up to the next branch or the end, and the option that it is."""
        rules: list[Rule] = []
        while self._tokens:
            option = self._tokens.option()
            if option.name in CLOSING:
                return tuple(rules), option
            rule = self._rule(option)
            if rule is not None:
                rules.append(rule)
        raise OptionError(f"{opener.text!r} has no -endif")
