"""A session for each client: its images, masks and jobs, which no other client can reach."""

import hashlib
import re
import secrets
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from sam3_agent.errors import Busy
from sam3_agent.model.segmenter import Segmenter
from sam3_agent.workspace import OutputFolder, Workspace, WorkspaceConfig
from sam3_agent.workspace.feature_cache import FeatureCache
from sam3_mcp.client_identity import Caller
from sam3_mcp.image_access import Pictures
from sam3_mcp.jobs import Jobs
from sam3_mcp.quota import UNLIMITED, Account, Holdings, Limits

IDLE_SECONDS = 3600.0
MOST_DESKS = 1024
FEATURE_BYTES = 2 * 2**30
"""For the features of encoded pictures, of all clients together."""
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_SUFFIX_LENGTH = 10
_ID = re.compile(rf"\b((?:img|m|job)\d+)(?:-([{_ALPHABET}]{{{_SUFFIX_LENGTH}}}))?(?![\w-])")
_ID_ARGUMENTS = frozenset({"image_id", "mask_id", "job_id", "mask_ids", "positive_masks", "negative_masks"})


@dataclass(eq=False)
class Session:
    """Session of one client; made when it first calls."""

    owner: Caller
    suffix: str
    """Ends its ids: "-" and 10 characters (50 bits of chance); empty for the one client of a stdio server."""
    account: Account
    jobs: Jobs
    proven: bool
    """Its owner has shown its key; until then whoever knows one of its ids may use them."""
    used: float
    workspace: Workspace | None = None
    running: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def complete(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments with this session's suffix on ids that lack one: pictures show ids short."""
        if not self.suffix:
            return dict(arguments)
        return {k: self._complete(v) if k in _ID_ARGUMENTS else v for k, v in arguments.items()}

    def complete_id(self, text: str) -> str:
        """One id with its suffix."""
        return _ID.sub(lambda found: found[0] if found[2] else found[0] + self.suffix, text)

    def _complete(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.complete_id(value)
        if isinstance(value, list):
            return [self.complete_id(v) if isinstance(v, str) else v for v in cast(list[Any], value)]
        return value


class Sessions:
    """All sessions of a server. Safe to call from several threads."""

    def __init__(
        self,
        pictures: Pictures,
        *,
        limits: Limits = UNLIMITED,
        out_dir: Path | None = None,
        shared: bool = False,
        feature_bytes: int = FEATURE_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """With `shared` there are many clients: ids have suffixes, and each client writes into a folder of its own."""
        self._pictures = pictures
        self._limits = limits
        self._out_dir = out_dir
        self._feature_bytes = feature_bytes
        self._shared = shared
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        """By suffix."""
        self._memory: FeatureCache | None = None
        self._lock = threading.RLock()

    def of(self, caller: Caller, arguments: Mapping[str, Any]) -> Session:
        """The session that a call is about: the one of the ids in its arguments if the caller may use it, else its own.

        Raises:
            Busy: there are as many sessions as there may be, and all are in use.
        """
        with self._lock:
            if self._shared:
                self._sweep()
            session = (self._shared and self._named(caller, arguments)) or self._own(caller) or self._new(caller)
            session.proven = session.proven or (caller.proven and session.owner.key == caller.key)
            session.used = self._clock()
            return session

    @contextmanager
    def using(self, caller: Caller, arguments: Mapping[str, Any]) -> Generator[Session]:
        """`of`, and the session is not cleared away meanwhile."""
        session = self.of(caller, arguments)
        with self._lock:
            session.running += 1
        try:
            yield session
        finally:
            with self._lock:
                session.running -= 1
                session.used = self._clock()

    def workspace(self, session: Session, segmenter: Segmenter) -> Workspace:
        """The workspace of a session; all share one memory of features."""
        with self._lock:
            self._memory = self._memory or FeatureCache(segmenter, self._feature_bytes)
            if session.workspace is None:
                output = OutputFolder(self._folder_of(session)) if self._out_dir is not None else OutputFolder()
                read = partial(self._pictures.read, weigh=session.account.weigh)
                setting = WorkspaceConfig(read=read, output=output, suffix=session.suffix, memory=self._memory)
                session.workspace = Workspace(segmenter, setting=setting)
            return session.workspace

    def statistics(self) -> dict[str, Any]:
        """{"sessions", "images", "masks", "jobs"} now, and what the memory of features and the model count."""
        with self._lock:
            sessions = list(self._sessions.values())
            memory = self._memory
        held = [holdings_of([session]) for session in sessions]
        counts = {
            "desks": len(sessions),
            "images": sum(each.images for each in held),
            "masks": sum(each.masks for each in held),
            "jobs": sum(session.jobs.running for session in sessions),
        }
        return counts | (memory.statistics() if memory is not None else {"features": {}, "eye": {}})

    def _named(self, caller: Caller, arguments: Mapping[str, Any]) -> Session | None:
        for suffix in _suffixes(arguments):
            session = self._sessions.get("-" + suffix)
            if session is not None and _may_use(caller, session):
                return session
        return None

    def _own(self, caller: Caller) -> Session | None:
        found = (
            d for d in self._sessions.values() if d.owner.key == caller.key and d.owner.principal == caller.principal
        )
        return next(found, None)

    def _new(self, caller: Caller) -> Session:
        if len(self._sessions) >= MOST_DESKS:
            idle = [session for session in self._sessions.values() if not _in_use(session)]
            if not idle:
                raise Busy("the server has as many clients as it can serve; try again in a minute")
            self._clear(min(idle, key=lambda session: session.used))
        suffix = "-" + "".join(secrets.choice(_ALPHABET) for _ in range(_SUFFIX_LENGTH)) if self._shared else ""
        account = self._account_of(caller)
        jobs = Jobs(suffix, self._limits.jobs, clock=self._clock)
        session = Session(caller, suffix, account, jobs, caller.proven, self._clock())
        self._sessions[suffix] = session
        return session

    def _account_of(self, caller: Caller) -> Account:
        """A new account; unproven callers of one address share theirs, or each new image would have one of its own."""
        if caller.proven:
            return Account(self._limits, lambda: holdings_of(self._belonging_to(caller)))
        mine = self._belonging_to(caller)
        return mine[0].account if mine else Account(self._limits, lambda: holdings_of(self._belonging_to(caller)))

    def _belonging_to(self, caller: Caller) -> list[Session]:
        with self._lock:
            sessions = list(self._sessions.values())
        if caller.proven:
            return [d for d in sessions if d.owner.key == caller.key and d.owner.principal == caller.principal]
        who = (caller.principal, caller.address)
        return [d for d in sessions if not d.owner.proven and (d.owner.principal, d.owner.address) == who]

    def _folder_of(self, session: Session) -> Path | None:
        if self._out_dir is None or not self._shared:
            return self._out_dir
        name = hashlib.sha256(f"{session.owner.principal}\n{session.owner.key}".encode()).hexdigest()[:16]
        return self._out_dir / f"client-{name}"

    def _sweep(self) -> None:
        """Clear the sessions of clients that have not called for an hour."""
        old = self._clock() - IDLE_SECONDS
        for session in [session for session in self._sessions.values() if session.used < old and not _in_use(session)]:
            self._clear(session)

    def _clear(self, session: Session) -> None:
        del self._sessions[session.suffix]
        if session.workspace is not None:
            for image in session.workspace.images():
                session.workspace.forget(image.id)


def holdings_of(sessions: Iterable[Session]) -> Holdings:
    """Sum up what these sessions hold."""
    spaces = [session.workspace for session in sessions if session.workspace is not None]
    images = [image for space in spaces for image in space.images()]
    return Holdings(len(images), sum(i.width * i.height * 3 for i in images), sum(space.mask_count for space in spaces))


def _may_use(caller: Caller, session: Session) -> bool:
    if caller.principal != session.owner.principal:
        return False
    return caller.key == session.owner.key or not (caller.proven or session.proven)


def _in_use(session: Session) -> bool:
    return bool(session.running or session.jobs.running)


def _suffixes(arguments: Mapping[str, Any]) -> Iterable[str]:
    for name in _ID_ARGUMENTS & arguments.keys():
        value = arguments[name]
        for text in cast(list[Any], value) if isinstance(value, list) else [value]:
            if isinstance(text, str):
                yield from (found[2] for found in _ID.finditer(text) if found[2])
