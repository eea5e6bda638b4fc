"""The lock file: what `make install` installs."""

import re
import tomllib
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def lock(checkout: Path) -> str:
    return (checkout / "uv.lock").read_text(encoding="utf-8")


def test_the_lock_names_only_the_public_package_index(lock: str) -> None:
    places = set(re.findall(r'(?:url|registry|path|find-links|directory|git) = "([^"]*)"', lock))
    strangers = {p for p in places if not p.startswith(("https://files.pythonhosted.org/", "https://pypi.org/simple"))}
    assert places
    assert strangers == set(), "renew it by `make lock`, which names the public index"


def test_the_lock_holds_every_dependency_of_the_project(lock: str, checkout: Path) -> None:
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = sum(project["optional-dependencies"].values(), project["dependencies"])
    names = {re.split(r"[^A-Za-z0-9_.-]", line)[0].replace("_", "-").lower() for line in wanted}
    locked = {package["name"] for package in tomllib.loads(lock)["package"]}
    assert names - locked == set(), "renew it by `make lock`"
