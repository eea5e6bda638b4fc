"""Weights from the Hugging Face Hub."""

from pathlib import Path

from huggingface_hub import snapshot_download  # pyright: ignore[reportUnknownVariableType]
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,  # pyright: ignore[reportPrivateImportUsage]  # of whichever HTTP client this hub version uses
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from sam3_agent.errors import ModelUnavailable

FILES = ("config.json", "model*.safetensors*", "tokenizer*", "vocab.json", "merges.txt", "special_tokens_map.json")
"""What the eye reads of a model repository; Meta's own copy of the weights beside it (3.4 GB) is left out."""

_BACK_UP = "or use --model tiny, which is embedded"


def fetch(repository: str) -> Path:
    """The local folder of a model, downloaded into the Hugging Face cache where it is not there yet.

    Raises:
        ModelUnavailable: no access, no network, no such model; the message says what to do.
    """
    page = f"https://huggingface.co/{repository}"
    try:
        return Path(snapshot_download(repository, allow_patterns=list(FILES)))
    except GatedRepoError as error:
        raise ModelUnavailable(
            f"no access to the gated weights of {repository}: request it at {page}, run 'hf auth login', {_BACK_UP}"
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelUnavailable(
            f"{repository} cannot be seen: request access at {page} and run 'hf auth login', {_BACK_UP}"
        ) from error
    except HfHubHTTPError as error:
        raise ModelUnavailable(_failed(repository, error)) from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HTTPError) as error:
        raise ModelUnavailable(
            f"{repository} is not on this machine, and the Hugging Face Hub does not answer: connect, {_BACK_UP}"
        ) from error
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelUnavailable(_failed(repository, error)) from error


def _failed(repository: str, error: Exception) -> str:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
    return f"{repository} could not be downloaded ({reason}): try again, {_BACK_UP}"
