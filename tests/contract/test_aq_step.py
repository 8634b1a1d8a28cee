"""The aq step against the conformance suite of row steps."""

import pytest

from ess_dask.aq.step import AqStep
from ess_dask.testing.steps import RowStepConformance

RULES = [
    "-filt 'price > 0' -eval f:net 'price * 0.9'",
    "-if -filt 'id > 4' -eval s:size '\"big\"' -else -eval size '\"small\"' -endif",
    "-mapf name '%%first%%' -mapc s:copy 'x%%first%%'",
    '-eval - \'RxMap(name, "(.)", name, "%%1%%")\'',
    "-c name id:number",
]


@pytest.mark.parametrize("rules", RULES)
class TestAqStep(RowStepConformance):
    @pytest.fixture(autouse=True)
    def _rules(self, rules):
        self.rules = rules

    def make_step(self):
        return AqStep(self.rules)


class TestAqStepPerFile(RowStepConformance):
    def make_step(self):
        return AqStep("-var i:n 0 -eval n 'n + 1' -eval i:number n", "file")
