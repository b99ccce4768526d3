"""What the server's processes use, from Linux's ``/proc``; elsewhere nothing is known of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from ...errors import ConfigError

__all__ = ["Usage", "can_look", "usage"]

_PROC = Path("/proc")


class Usage(Struct, frozen=True):
    """CPU time used so far, in seconds, and resident memory, in bytes."""

    cpu_s: float
    rss: int

    @classmethod
    def parse(cls, stat: str, statm: str, ticks: int, page: int) -> Usage:
        """From ``/proc/PID/stat`` and ``statm`` (proc(5)); ``ticks`` a second, bytes a ``page``."""
        # The second field is the program's name in parentheses, and may hold anything.
        fields = stat.rpartition(")")[2].split()
        cpu = (int(fields[11]) + int(fields[12])) / ticks
        return cls(cpu, int(statm.split()[1]) * page)


def can_look() -> bool:
    """Whether this system tells."""
    return (_PROC / "self" / "stat").exists()


def usage(pids: Sequence[int]) -> Usage:
    """What these processes use together.

    Raises:
        ConfigError: there is no such process.
    """
    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    found: list[Usage] = []
    for pid in pids:
        try:
            stat, statm = ((_PROC / str(pid) / name).read_text() for name in ("stat", "statm"))
        except OSError:
            raise ConfigError(f"--pid {pid}: there is no such process, or not any more") from None
        found.append(Usage.parse(stat, statm, ticks, page))
    return Usage(sum(one.cpu_s for one in found), sum(one.rss for one in found))
