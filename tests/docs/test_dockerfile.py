"""The image: what its Dockerfile copies is there, and what it runs builds a working client."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def instructions():
    """Return (word, rest) of each instruction of the Dockerfile, by stage."""
    stages = []
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stages.append([])
        if stages and word.isupper():
            stages[-1].append((word, rest))
    return stages


@pytest.fixture(scope="module")
def image_lock():
    spec = importlib.util.spec_from_file_location("image_lock", ROOT / ".ci" / "image_lock.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def selected(image_lock, *words):
    lock = (ROOT / "requirements.lock").read_text()
    return [text for _, text in image_lock.needed(image_lock.requirements(list(words)), lock)]


def test_what_it_copies_is_there_and_is_sent_to_the_builder():
    sent = (ROOT / ".dockerignore").read_text().splitlines()
    build, _ = instructions()
    copied = [rest.split()[:-1] for word, rest in build if word == "COPY"]
    names = [name for names in copied for name in names]
    assert len(names) >= 6
    for name in names:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in sent


def test_it_ends_as_a_user_without_rights_and_without_compilers():
    _, final = instructions()
    users = [rest for word, rest in final if word == "USER"]
    assert users == ["ess"]
    assert not re.search(r"gcc|g\+\+|build-essential|-dev\b", (ROOT / "Dockerfile").read_text())


def test_its_part_of_the_lock_is_what_is_needed_and_no_more(image_lock):
    from ess_dask.cluster.ec2.software import pinned_requirements

    found = selected(image_lock, "redshift", "ec2")
    for line in pinned_requirements().split():
        name, _, version = line.partition("==")
        (entry,) = [text for text in found if text.startswith(f"{name}=={version}")]
        assert "--hash=sha256:" in entry
    names = {text.partition("==")[0] for text in found}
    assert {"boto3", "redshift-connector", "dask-cloudprovider"} <= names
    assert not {"pytest", "moto", "mypy", "ruff", "asyncssh", "hatchling"} & names
    built = {text.partition("==")[0] for text in selected(image_lock, "--build")}
    assert {"hatchling", "packaging", "pathspec"} <= built


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(
    "ESS_STRESS" not in os.environ, reason="installs 300 MB from the package index: make stress"
)
def test_what_it_runs_makes_a_client(tmp_path):
    build, _ = instructions()
    folder = tmp_path / "src"
    folder.mkdir()
    for word, rest in build:
        if word == "COPY":
            *names, target = rest.split()
            for name in names:
                place = folder / (name if target == "./" else target)
                place.parent.mkdir(parents=True, exist_ok=True)
                copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
                copy(ROOT / name, place)
        elif word == "RUN":
            words = rest.replace("/opt/", f"{tmp_path}/opt/").replace(
                "python ", f"{sys.executable} "
            )
            subprocess.run(words, shell=True, cwd=folder, check=True, timeout=900)
    ess = tmp_path / "opt" / "ess" / "bin" / "ess"
    env = {"HOME": str(tmp_path), "PATH": f"{ess.parent}:/usr/bin:/bin"}
    done = subprocess.run(
        [ess, "demo"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    subprocess.run([ess, "udbd", "stop"], cwd=tmp_path, env=env, timeout=60)
