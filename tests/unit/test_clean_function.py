"""Python steps: functions found in the folder, rows followed, types kept, errors placed."""

import datetime as dt
import decimal
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ess_dask.clean.function import PythonStep
from ess_dask.clean.protocol import ROW_LABEL, StepContext
from ess_dask.clean.signals import LostRowLabelsError, RowCleanError
from ess_dask.errors import CleanError, ConfigError

pytestmark = pytest.mark.slow

CONTEXT = StepContext()
DAYS = (1, 14, 15, 20)

SHOP = pa.table(
    {
        "purchaseDate": pa.array([dt.datetime(2014, 9, day) for day in DAYS], pa.timestamp("us")),  # noqa: DTZ001
        "articleID": pa.array([1, None, 3, 4], pa.int32()),
        "userID": ["a", None, "b", "c"],
        "price": [1.0, -1.0, None, 3.0],
        "day": pa.array([dt.date(2014, 9, day) for day in DAYS]),
        "paid": [True, None, False, True],
        "small": pa.array([1, None, 200, 255], pa.uint8()),
        "amount": pa.array(
            [decimal.Decimal("1.50"), None, decimal.Decimal(0), decimal.Decimal(2)],
            pa.decimal128(8, 2),
        ),
        "raw": pa.array([b"\x00", None, b"", b"x"]),
        "moment": pa.array([0, None, 1, 2], pa.timestamp("ms", "Europe/Paris")),
        "half": pa.array([0.5, None, 1, 2], pa.float32()),
        "tags": pa.array([["x"], None, [], ["y", "z"]]),
        ROW_LABEL: pa.array([10, 11, 12, 13]),
    }
)


def run(function, table=SHOP, per="batch"):
    return PythonStep.from_callable(function, per).apply(table, CONTEXT)


def failure(function, table=SHOP, per="batch"):
    with pytest.raises(CleanError) as caught:
        run(function, table, per)
    return caught.value


def test_nothing_done_is_nothing_changed():
    assert run(lambda frame: frame).equals(SHOP)


def test_the_offset_function_of_the_woodworking_shop():
    def add_missing_article_offset(frame):
        frame.loc[frame.purchaseDate >= "2014-09-15", "articleID"] += 1
        return frame

    result = run(add_missing_article_offset)
    assert result["articleID"].to_pylist() == [1, None, 4, 5]
    assert result.schema == SHOP.schema
    assert SHOP["articleID"].to_pylist() == [1, None, 3, 4]


@pytest.mark.parametrize(
    ("function", "column", "values", "labels"),
    [
        (lambda f: f[f.price > 0], "articleID", [1, 4], [10, 13]),
        (
            lambda f: f.assign(userID=f["userID"].str.upper()),
            "userID",
            ["A", None, "B", "C"],
            [10, 11, 12, 13],
        ),
        (lambda f: f.assign(new=f.price * 2), "new", [2.0, -2.0, None, 6.0], [10, 11, 12, 13]),
        (lambda f: f[f.day >= "2014-09-15"], "articleID", [3, 4], [12, 13]),
        (lambda f: f[f.day.dt.day == 14], "userID", [None], [11]),
        (lambda f: f.dropna(subset=["userID"]), "articleID", [1, 3, 4], [10, 12, 13]),
        (lambda f: f.fillna({"articleID": 0}), "articleID", [1, 0, 3, 4], [10, 11, 12, 13]),
        (lambda f: f.query("price > 0"), "articleID", [1, 4], [10, 13]),
        (lambda f: f[["userID"]], "userID", ["a", None, "b", "c"], [10, 11, 12, 13]),
        (
            lambda f: f.rename(columns={"userID": "user"}),
            "user",
            ["a", None, "b", "c"],
            [10, 11, 12, 13],
        ),
        (lambda f: f.sort_values("price"), "articleID", [1, None, 3, 4], [10, 11, 12, 13]),
        (lambda f: f.iloc[::-1], "articleID", [1, None, 3, 4], [10, 11, 12, 13]),
        (lambda f: f.reset_index(), "articleID", [1, None, 3, 4], [10, 11, 12, 13]),
        (lambda f: f.explode("tags"), "tags", None, [10, 11, 12, 13, 13]),
        (
            lambda f: f.assign(w=np.where(f.price > 0, "y", "n")),
            "w",
            ["y", "n", "n", "y"],
            [10, 11, 12, 13],
        ),
        (lambda f: f[f.price > 100], "articleID", [], []),
        (
            lambda f: f.assign(m=f.userID.map({"a": "x"})),
            "m",
            ["x", None, None, None],
            [10, 11, 12, 13],
        ),
        (
            lambda f: f.assign(big=f.articleID > 2),
            "big",
            [False, None, True, True],
            [10, 11, 12, 13],
        ),
    ],
)
def test_usual_pandas_code_works_and_rows_are_followed(function, column, values, labels):
    if values is None:
        function = _tags_as_text(function)
    result = run(function)
    assert result.column(ROW_LABEL).to_pylist() == labels
    assert result.column_names.count(ROW_LABEL) == 1
    if values is not None:
        assert result.column(column).to_pylist() == values


def _tags_as_text(function):
    return lambda frame: function(frame).rename(columns={"tags": "tag"})


@pytest.mark.parametrize("per", ["batch", "file"])
def test_rows_without_any_column_are_refused(per):
    with pytest.raises(CleanError, match="no columns"):
        run(lambda frame: frame[[]], per=per)


@pytest.mark.parametrize(
    "function",
    [
        lambda f: f.reset_index(drop=True),
        lambda f: f.groupby("userID", as_index=False).price.sum(),
        lambda f: f.merge(pd.DataFrame({"userID": ["a"], "k": [1]}), on="userID"),
        lambda f: pd.concat([f, f], ignore_index=True),
        lambda f: f.set_index("userID"),
        lambda f: pd.DataFrame({"n": [len(f)]}),
    ],
)
def test_rows_that_are_new_are_told_from_those_that_were_given(function):
    with pytest.raises(LostRowLabelsError, match="matched"):
        run(function)
    alone = run(function, SHOP.drop_columns([ROW_LABEL]))
    assert ROW_LABEL not in alone.column_names
    assert run(function, per="file").equals(alone)


def test_the_key_of_a_group_becomes_a_column():
    result = run(lambda frame: frame.groupby("userID").price.sum().to_frame(), per="file")
    assert result.to_pydict() == {"userID": ["a", "b", "c"], "price": [1.0, 0.0, 3.0]}


def test_what_a_function_sees():
    def types(frame):
        text = ";".join(f"{name}={kind}" for name, kind in frame.dtypes.items())
        return frame[[]].assign(types=text)

    seen = dict(pair.split("=") for pair in run(types)["types"][0].as_py().split(";"))
    assert seen["articleID"] == "Int32"
    assert seen["small"] == "UInt8"
    assert seen["price"] == "float64"
    assert seen["userID"] == "str"
    assert seen["paid"] == "boolean"
    assert seen["day"] == "datetime64[s]"
    assert seen["moment"] == "datetime64[ms, Europe/Paris]"
    assert seen["amount"] == "decimal128(8, 2)[pyarrow]"
    assert ROW_LABEL not in seen


def test_new_columns_get_types_that_do_not_depend_on_the_rows():
    result = run(
        lambda f: f[[]].assign(
            n=1,
            x=0.5,
            s="a",
            o=[1, "b", None, 2.5],
            none=None,
            t=f.purchaseDate,
            c=f.userID.astype("category"),
        )
    )
    kinds = {field.name: str(field.type) for field in result.schema}
    assert kinds == {
        "n": "int64", "x": "double", "s": "string", "o": "string", "none": "string",
        "t": "timestamp[us]", "c": "string", ROW_LABEL: "int64",
    }  # fmt: skip
    assert result["o"].to_pylist() == ["1", "b", None, "2.5"]
    assert result["none"].to_pylist() == [None] * 4


@pytest.mark.parametrize(
    ("function", "column", "label"),
    [
        (lambda f: f.assign(articleID=f.articleID + 0.5), "articleID", 10),
        (lambda f: f.assign(small=f.small.astype("Int64") + 100), "small", 12),
        (lambda f: f.assign(articleID="x"), "articleID", 10),
        (lambda f: f.assign(price=["1", "2", "TBD", "4"][: len(f)]), "price", None),
        (lambda f: f.assign(day=f.day + pd.Timedelta(hours=1)), "day", 10),
        (lambda f: f.assign(moment=f.moment.dt.tz_localize(None)), "moment", None),
        (lambda f: f.assign(d=f.purchaseDate - f.purchaseDate.min()), "d", None),
        (lambda f: f.assign(p=f.purchaseDate.dt.to_period("D")), "p", None),
    ],
)
def test_a_value_that_does_not_fit_its_column_is_an_error_that_names_it(function, column, label):
    error = failure(function)
    assert repr(column) in error.message
    assert error.hint
    if label is not None:
        assert error.label == label


def test_an_exact_value_goes_back_into_its_type():
    result = run(
        lambda f: f.assign(
            articleID=f.articleID.astype("float64") * 2, small=f.small.astype("Int64")
        )
    )
    assert result["articleID"].to_pylist() == [2, None, 6, 8]
    assert result.schema == SHOP.schema


def test_the_row_a_function_fails_on_is_found():
    def reciprocal(frame):
        return frame.assign(
            r=[1 / (int(value) - 3) if value == value else 0 for value in frame.articleID.fillna(0)]
        )

    error = failure(reciprocal)
    assert isinstance(error, RowCleanError)
    assert error.label == 12
    assert "ZeroDivisionError: division by zero" in error.message
    assert "test_clean_function.py line" in error.message
    assert "reciprocal" in error.message
    assert "Traceback" not in str(error)
    assert pickle.loads(pickle.dumps(error)).label == 12


def test_of_a_thousand_rows_the_first_bad_one_is_named():
    table = pa.table({"n": [str(n) for n in range(1000)], ROW_LABEL: pa.array(range(1000))})
    table = table.set_column(
        0, "n", pa.array(["TBD" if n in (777, 900) else str(n) for n in range(1000)])
    )
    error = failure(lambda frame: frame.assign(n2=frame.n.map(int)), table)
    assert error.label == 777
    assert "'TBD'" in error.message


def test_an_error_of_the_function_itself_is_no_rows_fault():
    error = failure(lambda frame: frame[frame.prise > 0])
    assert error.label is None
    assert "AttributeError" in error.message
    assert "prise" in error.message


def test_an_error_of_neighbours_only_has_no_row():
    def unique(frame):
        if len(frame) > 1:
            raise ValueError("more than one")
        return frame

    assert failure(unique).label is None


def test_per_file_an_error_is_of_the_file():
    error = failure(lambda frame: frame.nope, per="file")
    assert "nope" in error.message
    assert error.message.startswith("python: ")


@pytest.mark.parametrize(
    ("result", "what"),
    [
        (None, "NoneType"),
        (3, "int"),
        ("x", "str"),
        ({"a": [1]}, "dict"),
        (pd.Series([1]), "Series"),
    ],
)
def test_something_else_than_a_frame_is_an_error(result, what):
    error = failure(lambda frame: result)
    assert f"returned {what}, not a pandas DataFrame" in error.message
    assert "return frame" in error.hint


def test_columns_must_have_one_plain_name_each():
    assert (
        "'a' is there twice"
        in failure(lambda f: f[["price", "small"]].set_axis(["a", "a"], axis=1)).message
    )
    levels = pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")])
    assert (
        "several levels"
        in failure(lambda f: f[["price", "small"]].set_axis(levels, axis=1)).message
    )
    assert run(lambda f: f[["price"]].set_axis([7], axis=1)).column_names == ["7", ROW_LABEL]


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyError("x"), AssertionError(), RecursionError("deep")]
)
def test_whatever_a_function_raises_ends_in_a_clean_error(error):
    def raising(frame):
        raise error

    assert type(error).__name__ in failure(raising).message


def test_a_function_that_fails_on_no_rows_is_not_blamed():
    empty = SHOP.slice(0, 0)
    assert run(lambda frame: frame.assign(first=frame.userID.iloc[0]), empty).num_rows == 0
    assert run(lambda frame: frame, empty).schema == SHOP.schema


def test_writing_into_the_frame_leaves_the_rows_alone():
    before = SHOP.to_pydict()

    def overwrite(frame):
        frame.iloc[0, 3] = 99.0
        frame.loc[:, "half"] = 7.0
        frame["articleID"] = frame["articleID"] + 1
        frame.pop("userID")
        return frame

    assert run(overwrite)["price"].to_pylist()[0] == 99.0
    assert SHOP.to_pydict() == before


def test_an_arrow_function_is_known_by_its_annotation():
    def positive(table: pa.Table):
        return table.filter(pc.greater(table["price"], 0))

    def positive_by_name(table: "pa.Table"):
        return table.filter(pc.greater(table["price"], 0))

    for function in (positive, positive_by_name):
        step = PythonStep.from_callable(function)
        assert step.takes == "arrow"
        assert step.apply(SHOP, CONTEXT)[ROW_LABEL].to_pylist() == [10, 13]


def test_an_arrow_function_that_drops_or_makes_up_labels_is_noticed():
    def select(table: pa.Table):
        return table.select(["price"])

    def invent(table: pa.Table):
        return table.drop_columns([ROW_LABEL]).append_column(ROW_LABEL, pa.array(range(4)))

    def text(table: pa.Table):
        return 3

    for function in (select, invent):
        with pytest.raises(LostRowLabelsError):
            run(function)
    assert run(select, per="file").column_names == ["price"]
    assert "not an Arrow table" in failure(text).message


# Functions from files


def write(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, "pipelines/rates.py", "RATE = 2\n")
    write(
        tmp_path,
        "pipelines/shop.py",
        """
        from pipelines import rates

        def double(frame):
            return frame.assign(price=frame.price * rates.RATE)

        def broken(frame):
            return frame.assign(price=1 / 0)

        constant = 3
        """,
    )
    return tmp_path


def test_a_function_is_found_in_the_pipelines_folder(folder):
    before = set(sys.modules), list(sys.path)
    step = PythonStep.from_reference("pipelines.shop:double", str(folder))
    assert step.name == "python: pipelines.shop:double"
    assert step.apply(SHOP, CONTEXT)["price"].to_pylist() == [2.0, -2.0, None, 6.0]
    assert sys.path == before[1]
    assert not {name for name in sys.modules if name.startswith("pipelines")} - before[0]


def test_it_travels_to_a_worker_that_has_not_the_folder(folder, tmp_path):
    step = PythonStep.from_reference("pipelines.shop:double", str(folder))
    (tmp_path / "step.pickle").write_bytes(pickle.dumps(step))
    program = (
        "import pickle, sys, pyarrow as pa\n"
        "from ess_dask.clean.protocol import StepContext\n"
        "step = pickle.load(open(sys.argv[1], 'rb'))\n"
        "table = pa.table({'price': [1.5], '_ess_row': [0]})\n"
        "print(step.apply(table, StepContext())['price'].to_pylist())\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "step.pickle")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "[3.0]\n", done.stderr


def test_it_travels_from_a_folder_of_an_installed_package(tmp_path):
    folder = tmp_path / "site-packages" / "shop" / "pipelines"
    folder.mkdir(parents=True)
    (folder / "rules_of_shop.py").write_text("def keep(frame):\n    return frame\n")
    step = PythonStep.from_reference("rules_of_shop:keep", str(folder))
    # The module is forgotten here, as it is unknown on a worker.
    assert "rules_of_shop" not in sys.modules
    assert step.apply(SHOP, CONTEXT).num_rows == SHOP.num_rows


def test_two_folders_may_have_modules_of_the_same_name(tmp_path):
    for number in (1, 2):
        write(
            tmp_path / str(number),
            "cleaning.py",
            f"def add(frame):\n    return frame.assign(n={number})\n",
        )
    steps = [PythonStep.from_reference("cleaning:add", str(tmp_path / str(n))) for n in (1, 2)]
    assert [step.apply(SHOP, CONTEXT)["n"].to_pylist()[0] for step in steps] == [1, 2]


def test_a_changed_file_is_read_again(tmp_path):
    for number in (1, 22):
        write(tmp_path, "cleaning.py", f"def add(frame):\n    return frame.assign(n={number})\n")
        step = PythonStep.from_reference("cleaning:add", str(tmp_path))
        assert step.apply(SHOP, CONTEXT)["n"].to_pylist()[0] == number


def test_a_module_of_an_installed_name_in_the_folder_comes_first(tmp_path):
    write(tmp_path, "colorsys.py", "def mine(frame):\n    return frame.assign(n=1)\n")
    import colorsys

    step = PythonStep.from_reference("colorsys:mine", str(tmp_path))
    assert sys.modules["colorsys"] is colorsys
    assert step.apply(SHOP, CONTEXT)["n"].to_pylist() == [1] * 4


def test_this_package_is_not_carried_along(tmp_path):
    write(
        tmp_path,
        "using.py",
        """
        from ess_dask.clean import frames

        def f(frame):
            return frame if frames.LABEL_OFFSET else None
        """,
    )
    from ess_dask.clean import frames

    root = Path(frames.__file__).parents[2]
    assert len(PythonStep.from_reference("using:f", str(tmp_path)).payload) < 2000
    step = PythonStep.from_reference("ess_dask.clean.frames:to_frame", str(root))
    assert len(step.payload) < 200
    assert sys.modules["ess_dask.clean.frames"] is frames


def test_an_error_names_the_users_file_and_line(folder):
    step = PythonStep.from_reference("pipelines.shop:broken", str(folder))
    with pytest.raises(CleanError, match=r"ZeroDivisionError.*\(shop.py line 8\)"):
        step.apply(SHOP, CONTEXT)


@pytest.mark.parametrize(
    ("reference", "what", "hint"),
    [
        ("pipelines.shop", "module:function", "for example"),
        ("pipelines.shop:", "module:function", "for example"),
        (":double", "module:function", "for example"),
        ("pipelines.shop:a b", "module:function", "for example"),
        ("pipelines.shoop:double", "no module 'pipelines.shoop'", "searched in"),
        ("nowhere:double", "no module 'nowhere'", "searched in"),
        ("pipelines.shop:doubel", "no function 'doubel'", "did you mean 'double'?"),
        ("pipelines.shop:constant", "no function 'constant'", "it has: "),
        ("bad.syntax:f", "syntax.py:1:", ""),
        ("bad.raises:f", "RuntimeError: no luck", ""),
        ("bad.needs:f", "needs a module that is missing: not_installed_here", ""),
    ],
)
def test_a_reference_that_leads_nowhere_says_where_was_searched(folder, reference, what, hint):
    write(folder, "bad/syntax.py", "def f(:\n    pass\n")
    write(folder, "bad/raises.py", "raise RuntimeError('no luck')\n")
    write(folder, "bad/needs.py", "import not_installed_here\n")
    with pytest.raises(ConfigError) as caught:
        PythonStep.from_reference(reference, str(folder))
    assert what in caught.value.message
    assert hint in caught.value.hint
    assert str(folder) not in sys.path


def test_what_cannot_travel_is_said_at_once():
    import threading

    lock = threading.Lock()
    with pytest.raises(ConfigError, match="cannot be sent") as caught:
        PythonStep.from_callable(lambda frame: frame if lock else None)
    assert "inside the function" in caught.value.hint


@pytest.mark.parametrize("value", ["", {"per": "file"}, {"function": "a:b", "timeout": 3}, ["a:b"]])
def test_a_wrong_pipeline_value_is_refused(value):
    with pytest.raises(ConfigError):
        PythonStep.from_pipeline(value, ".")


def test_from_a_pipeline_file(folder):
    step = PythonStep.from_pipeline(
        {"function": "pipelines.shop:double", "per": "file"}, str(folder)
    )
    assert step.per == "file"
    assert PythonStep.from_pipeline("pipelines.shop:double", str(folder)).per == "batch"
