"""What every room's tests may ask for."""

import signal
from pathlib import Path

import pytest

# A shell that starts tests in the background has them ignore Ctrl-C, and so would every program that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of the checkout that is under test."""
    return CHECKOUT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public photographs and metric oracles, which is kept beside the checkout and not in it."""
    folder = CHECKOUT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the public data folder ../shared/data is not beside this checkout")
    return folder
