"""Sessions of clients: their images, masks and jobs, which no other client can reach."""

import hashlib
import logging
import re
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

from sam3_agent.errors import Busy
from sam3_agent.model.request_context import calling
from sam3_agent.model.segmenter import Segmenter
from sam3_agent.workspace import OutputFolder, Workspace, WorkspaceConfig
from sam3_agent.workspace.feature_cache import FeatureCache
from sam3_mcp.client_identity import Caller
from sam3_mcp.image_access import ImageAccess
from sam3_mcp.jobs import Jobs
from sam3_mcp.output_quota import LimitedFolder
from sam3_mcp.quota import UNLIMITED, Account, Limits, Totals, Usage
from sam3_mcp.video_access import VideoAccess

IDLE_SECONDS = 3600.0
"""Time without a call after which a session is cleared away: longer than a pause for lunch costs memory."""
LEFT_ALONE_SECONDS = 300.0
"""Time without a call after which a session's images make room for others of the same client, who cannot reach them to
free them: a host that connects anew for each conversation would else have its limit full for an hour."""
FEATURE_BYTES = 2 * 2**30
"""For the features of encoded images, of all clients together."""
ANONYMOUS = "anonymous"
"""Name of clients without a token, where none is asked for."""
_LASTING = 1000
"""Accounts of tokens that outlive their sessions: more than a file of tokens holds."""
_COUNTED = ("sessions", "images", "bytes", "masks", "videos", "calls", "jobs")
_REPORTED = 100
"""Principals in the statistics at most, those with most first: an authorization server may know any number."""
logger = logging.getLogger(__name__)

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_SUFFIX_LENGTH = 10
_ID = re.compile(rf"\b((?:img|m|job|v)\d+)(?:-([{_ALPHABET}]{{{_SUFFIX_LENGTH}}}))?(?![\w-])")
_ID_ARGUMENTS = frozenset({"image_id", "mask_id", "job_id", "video_id", "mask_ids", "positive_masks", "negative_masks"})


@dataclass(eq=False)
class Session:
    """Session of one client; made when it first calls."""

    owner: Caller
    suffix: str
    """End of its ids: "-" and 10 characters (50 bits of chance); empty for the one client of a stdio server."""
    account: Account
    jobs: Jobs
    proven: bool
    """Its owner has shown its key; until then whoever knows one of its ids may use them."""
    used: float
    ended: bool = False
    """Its client has ended it: nobody can reach it any more, so it is cleared as soon as nothing runs in it."""
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
        images: ImageAccess,
        videos: VideoAccess | None = None,
        *,
        limits: Limits = UNLIMITED,
        limits_of: Mapping[str, Limits] | None = None,
        total: Limits = UNLIMITED,
        out_dir: Path | None = None,
        shared: bool = False,
        feature_bytes: int = FEATURE_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """With `shared` there are many clients: ids have suffixes, and each client writes into a folder of its own.

        `limits` are those of each principal, or of each client where no token is asked for, `limits_of` those of
        principals that have others, and `total` those of all together. Without `videos` they may be where images may.
        """
        self._image_access = images
        self._video_access = videos or VideoAccess(images.files, images)
        self._limits = limits
        self._limits_of = limits_of or {}
        self._out_dir = out_dir
        self._feature_bytes = feature_bytes
        self._shared = shared
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        """By suffix."""
        self._accounts: dict[str, Account] = {}
        """By holder; see `_holder_of`."""
        self._memory: FeatureCache | None = None
        self._totals = Totals(total, self._make_room)
        self._lock = self._totals.lock

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
        """`of`, and the session is not cleared away meanwhile; what is asked of the model has its principal."""
        with self._lock:
            session = self.of(caller, arguments)
            session.running += 1
        try:
            with calling(principal=session.account.principal):
                yield session
        finally:
            with self._lock:
                session.running -= 1
                session.used = self._clock()

    def end(self, caller: Caller) -> None:
        """Clear the session of a client that has ended it, at once or when the last of its calls and jobs is over."""
        with self._lock:
            session = self._own(caller)
            if session is not None:
                session.ended = True
                self._sweep()

    def workspace(self, session: Session, segmenter: Segmenter) -> Workspace:
        """The workspace of a session; all share one memory of features."""
        with self._lock:
            self._memory = self._memory or FeatureCache(segmenter, self._feature_bytes, self._principal_of)
            if session.workspace is None:
                client = session.owner.principal or session.owner.key
                read = partial(self._image_access.read, weigh=session.account.weigh, client=client)
                output = self._output_of(session)
                setting = WorkspaceConfig(
                    read=read,
                    read_video=partial(self._video_access.read, client=client),
                    admit=session.account.weigh_frame,
                    output=output,
                    suffix=session.suffix,
                    memory=self._memory,
                )
                session.workspace = Workspace(segmenter, setting=setting)
            return session.workspace

    def _principal_of(self, image_id: str) -> str:
        """Name of the principal whose image it is; clients without a token are all one."""
        session = self._sessions.get("-" + image_id.partition("@")[0].partition("-")[2])
        return session.owner.principal if session is not None else ""

    def statistics(self) -> dict[str, Any]:
        """{"sessions", "images", "masks", "videos", "jobs"} now, {"principals": {name: use and refusals}}, and what the
        memory of features and the model count.
        """
        with self._lock:
            principals = self._principals()
            memory = self._memory
        counts: dict[str, Any] = {
            name: sum(each[name] for each in principals.values())
            for name in ("sessions", "images", "masks", "videos", "jobs")
        }
        most = sorted(principals, key=lambda name: -principals[name]["calls"])[:_REPORTED]
        counts["principals"] = {name: principals[name] for name in most}
        return counts | (memory.statistics() if memory is not None else {"features": {}, "eye": {}})

    def _principals(self) -> dict[str, dict[str, Any]]:
        """Use and refusals of each principal; clients without a token are all ANONYMOUS."""
        found: dict[str, dict[str, Any]] = {}
        for account, sessions in self._by_account().items():
            name = account.principal.name or ANONYMOUS
            row = found.setdefault(name, dict.fromkeys(_COUNTED, 0) | {"refused": {}})
            held = usage_of(sessions)
            new = (len(sessions), held.images, held.bytes, held.masks, held.videos, account.running, account.jobs)
            for key, value in zip(list(row), new, strict=False):
                row[key] += value
            for reason, count in account.refused.items():
                row["refused"][reason] = row["refused"].get(reason, 0) + count
        return found

    def _by_account(self) -> dict[Account, list[Session]]:
        """All accounts with their sessions, some without any."""
        found: dict[Account, list[Session]] = {account: [] for account in self._accounts.values()}
        for session in self._sessions.values():
            found.setdefault(session.account, []).append(session)
        return found

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
        account = self._account_of(caller)
        mine = [session for session in self._sessions.values() if session.account is account]
        most, in_all = account.limits.sessions, self._totals.limits.sessions
        if most is not None and len(mine) >= most:
            self._clear_one(account, mine)
        if in_all is not None and len(self._sessions) >= in_all:
            self._clear_one(account, self._of_whoever_holds_most())
        suffix = "-" + "".join(secrets.choice(_ALPHABET) for _ in range(_SUFFIX_LENGTH)) if self._shared else ""
        jobs = Jobs(suffix, account, clock=self._clock)
        session = Session(caller, suffix, account, jobs, caller.proven, self._clock())
        self._sessions[suffix] = session
        return session

    def _clear_one(self, account: Account, sessions: Iterable[Session]) -> None:
        """Clear an idle one of these sessions: an empty one if there is one, else that left alone for longest.

        Raises:
            Busy: all of them are in use; the account is refused.
        """
        idle = [session for session in sessions if not _in_use(session)]
        if not idle:
            account.refused["sessions"] += 1
            raise Busy("as many sessions are in use as there may be; try again in a minute")
        self._clear(min(idle, key=lambda session: (usage_of([session]) != Usage(), session.used)))

    def _of_whoever_holds_most(self) -> list[Session]:
        """The sessions of the principal that has most of them; without tokens, of the address."""
        owners: defaultdict[tuple[str, str], list[Session]] = defaultdict(list)
        for session in self._sessions.values():
            owner = session.owner
            owners[owner.principal, "" if owner.principal else owner.address].append(session)
        return max(owners.values(), key=len)

    def _account_of(self, caller: Caller) -> Account:
        """The account of whoever calls; that of a token outlives its sessions, so that nothing is forgotten."""
        holder = _holder_of(caller)
        if holder not in self._accounts:
            limits = self._limits_of.get(caller.principal, self._limits)
            account = Account(
                limits,
                lambda: self._usage_of(account),
                self._totals,
                caller.principal,
                lambda: self._forget_left_alone(account),
            )
            self._accounts[holder] = account
        return self._accounts[holder]

    def _usage_of(self, account: Account) -> Usage:
        with self._lock:
            return usage_of(session for session in self._sessions.values() if session.account is account)

    def close(self, seconds: float) -> bool:
        """End all jobs, waiting at most so long, and delete what is temporary; False where a job goes on."""
        with self._lock:
            sessions = list(self._sessions.values())
        for session in sessions:
            session.jobs.cancel_all()
        deadline = time.monotonic() + seconds
        ended = [session.jobs.wait(deadline - time.monotonic()) for session in sessions]
        for session in sessions:
            if session.workspace is not None:
                session.workspace.video_store.close()
        return all(ended)

    def track_bytes(self, session: Session) -> int:
        """Bytes on disk of all tracks of the account of a session."""
        with self._lock:
            spaces = [each.workspace for each in self._sessions.values() if each.account is session.account]
        return sum(space.video_store.nbytes for space in spaces if space is not None)

    def _make_room(self, asker: Account, arriving: Usage) -> bool:
        """Forget images of whoever holds most until what arrives fits into the sum; False where that is the asker.

        Of the one who holds most, the images of the session that was not used for longest go first.
        """
        limits = self._totals.limits
        if limits == UNLIMITED:
            return True
        with self._lock:
            held = {account: usage_of(sessions) + account.arriving for account, sessions in self._by_account().items()}
            while (wanted := sum(held.values(), arriving)).exceeds(limits):
                most = max(held, key=lambda account: _share(held[account], limits))
                if most is asker or _share(held[most], limits) <= _share(held[asker] + arriving, limits):
                    return False
                videos = limits.videos is not None and wanted.videos > limits.videos
                if not (self._forget_video(most) if videos else self._forget_oldest(most)):
                    return False
                held[most] = self._usage_of(most) + most.arriving
        return True

    def _forget_left_alone(self, account: Account) -> bool:
        """Forget one image of an account in a session that was left alone for long; False where there is none."""
        old = self._clock() - LEFT_ALONE_SECONDS
        with self._lock:
            return self._forget_oldest(account, lambda session: session.used < old and not _in_use(session))

    def _forget_oldest(self, account: Account, takes: Callable[[Session], bool] = lambda _: True) -> bool:
        """Forget one image of those sessions of an account; False where they have none."""
        mine = [each for each in self._sessions.values() if each.account is account and takes(each)]
        sessions = [each for each in mine if usage_of([each]).images]
        if not sessions:
            return False
        session = min(sessions, key=lambda session: (session.running > 0, session.used))
        assert session.workspace is not None
        image = session.workspace.images()[0]
        session.workspace.forget(image.id)
        account.refused["evicted"] += 1
        logger.info("forgot %s of %r: others need room", image.id, account.principal.name or ANONYMOUS)
        return True

    def _forget_video(self, account: Account) -> bool:
        """Forget one video of an account that is not being tracked; False where it has none."""
        sessions = [each for each in self._sessions.values() if each.account is account and each.workspace is not None]
        for session in sorted(sessions, key=lambda session: (session.running > 0, session.used)):
            space = session.workspace
            idle = [v for v in space.videos() if not space.video_store.is_running(v.id)] if space is not None else []
            if space is not None and idle:
                space.forget_video(idle[0].id)
                account.refused["evicted"] += 1
                logger.info("forgot %s of %r: others need room", idle[0].id, account.principal.name or ANONYMOUS)
                return True
        return False

    def _output_of(self, session: Session) -> OutputFolder:
        if self._out_dir is None or not self._shared:
            return OutputFolder(self._out_dir)
        owner = session.owner
        within = self._out_dir / f"principal-{_digest(owner.principal)}" if owner.principal else self._out_dir
        return LimitedFolder(
            within / f"client-{_digest(owner.principal, owner.key)}", within=within, account=session.account
        )

    def _sweep(self) -> None:
        """Clear the sessions of clients that have ended them, or have not called for an hour."""
        old = self._clock() - IDLE_SECONDS
        for session in [each for each in self._sessions.values() if each.ended or each.used < old]:
            if not _in_use(session):
                self._clear(session)

    def _clear(self, session: Session) -> None:
        del self._sessions[session.suffix]
        lasting = session.owner.principal and len(self._accounts) < _LASTING
        if not lasting and all(each.account is not session.account for each in self._sessions.values()):
            self._accounts = {name: each for name, each in self._accounts.items() if each is not session.account}
        if session.workspace is not None:
            for video in session.workspace.videos():
                session.workspace.forget_video(video.id)
            for image in session.workspace.images():
                session.workspace.forget(image.id)


def usage_of(sessions: Iterable[Session]) -> Usage:
    """Sum up what these sessions hold."""
    spaces = [session.workspace for session in sessions if session.workspace is not None]
    images = [image for space in spaces for image in space.images()]
    return Usage(
        len(images),
        sum(i.width * i.height * 3 for i in images),
        sum(space.mask_count for space in spaces),
        sum(len(space.videos()) for space in spaces),
    )


def _holder_of(caller: Caller) -> str:
    """Name of the account of a caller: its token; without tokens its key, or while that is unproven its address, or
    each new image would have an account of its own.
    """
    if caller.principal:
        return f"principal:{caller.principal}"
    return f"client:{caller.key}" if caller.proven else f"address:{caller.address}"


def _share(usage: Usage, limits: Limits) -> float:
    """Largest share of a limit that is used, 0-1."""
    pairs = (
        (usage.images, limits.images),
        (usage.bytes, limits.bytes),
        (usage.masks, limits.masks),
        (usage.videos, limits.videos),
    )
    return max((held / most for held, most in pairs if most), default=0.0)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


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
