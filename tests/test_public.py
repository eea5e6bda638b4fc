"""The public names of the package."""

import importlib

import pytest

import sam3_agent


@pytest.mark.parametrize("name", sam3_agent.__all__)
def test_every_public_name_can_be_had(name: str) -> None:
    assert getattr(sam3_agent, name) is not None
    assert name in dir(sam3_agent)


def test_an_unknown_name_is_an_attribute_error_like_any_other() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        sam3_agent.nothing  # noqa: B018
    with pytest.raises(ImportError):
        importlib.import_module("sam3_agent.nothing")
