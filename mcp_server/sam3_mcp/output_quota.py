"""Output folder of a client within the limits of its principal; apart from quota.py, which the handshake imports."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sam3_agent.errors import ToolError
from sam3_agent.workspace import OutputFolder
from sam3_mcp.quota import Account

FREE_DISK_BYTES = 2**30
"""Space that exports leave free on their disk, for everything else on the machine."""


@dataclass(frozen=True, slots=True)
class LimitedFolder(OutputFolder):
    """Output folder of a client, within the limit of its principal's files."""

    within: Path | None = None
    """Folder of all clients of the principal."""
    account: Account | None = None

    def write(self, files: Mapping[str, bytes], *, overwrite: bool = False) -> list[Path]:
        """Write files as `OutputFolder.write` does.

        Raises:
            ToolError: the principal's files would take more than they may, or the disk would be full.
        """
        if self.within is not None and self.account is not None:
            self._check(self.within, self.account, sum(map(len, files.values())))
        return OutputFolder.write(self, files, overwrite=overwrite)

    def _check(self, folder: Path, account: Account, count: int) -> None:
        most = account.limits.exports
        if most is not None and _size(folder) + count > most:
            account.refused["exports"] += 1
            raise ToolError(f"your exported files may take {most / 2**20:.0f} MiB in all; have old ones removed first")
        parent = next(each for each in (folder, *folder.parents) if each.exists())
        disk = os.statvfs(parent)
        if most is not None and disk.f_bavail * disk.f_frsize < FREE_DISK_BYTES + count:
            account.refused["exports"] += 1
            raise ToolError("the disk of the output folder is nearly full, so nothing is exported")


def _size(folder: Path) -> int:
    """Bytes of all files in a folder."""
    found = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                found += (Path(where) / name).lstat().st_size
            except OSError:  # removed meanwhile
                continue
    return found
