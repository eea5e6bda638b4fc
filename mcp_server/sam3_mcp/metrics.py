"""Metrics of a server, as Prometheus text."""

import time
from collections.abc import Iterable, Iterator
from typing import Any, cast

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp_types import CallToolResult
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sam3_mcp.sessions import ANONYMOUS
from sam3_mcp.tool_handler import Backend

_BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_METHODS = frozenset(
    [
        "initialize",
        "ping",
        "server/discover",
        "tools/list",
        "tools/call",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "prompts/list",
        "prompts/get",
        "completion/complete",
        "notifications/initialized",
        "notifications/cancelled",
    ]
)


class Metrics:
    """Counters of requests by method and of calls by tool, and gauges read when asked. Labels are of fixed sets."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.registry = CollectorRegistry()
        self._requests = Counter("sam3_requests", "MCP requests.", ("method", "outcome"), registry=self.registry)
        self._calls = Counter("sam3_tool_calls", "Calls of tools.", ("tool", "outcome"), registry=self.registry)
        self._seconds = Histogram(
            "sam3_tool_seconds", "Seconds a call of a tool took.", ("tool",), buckets=_BUCKETS, registry=self.registry
        )
        self._running = Gauge("sam3_requests_running", "MCP requests being answered.", registry=self.registry)
        self._refused = Counter(
            "sam3_refused_requests",
            "Requests refused before the MCP server.",
            ("principal", "reason"),
            registry=self.registry,
        )
        self.registry.register(_Now(backend))

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Count one request: a middleware of the MCP server."""
        began = time.monotonic()
        outcome = "error"
        self._running.inc()
        try:
            result = await call_next(ctx)
            outcome = "error" if _failed(result) else "ok"
            return result
        finally:
            self._running.dec()
            method = ctx.method if ctx.method in _METHODS else "other"
            self._requests.labels(method, outcome).inc()
            if method == "tools/call":
                tool = self._tool(ctx)
                self._calls.labels(tool, outcome).inc()
                self._seconds.labels(tool).observe(time.monotonic() - began)

    def refuse(self, principal: str, reason: str) -> None:
        """Count a request that was refused before it came to the MCP server."""
        self._refused.labels(principal or ANONYMOUS, reason).inc()

    def text(self) -> bytes:
        """Write all metrics in the Prometheus text format."""
        return generate_latest(self.registry)

    def _tool(self, context: ServerRequestContext[Any, Any]) -> str:
        name = str((context.params or {}).get("name", ""))
        return name if name in self._backend.tools else "unknown"


class _Now(Collector):
    """Gauges read at the moment of asking: sessions, queue, memories, GPU memory."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def collect(self) -> Iterable[Metric]:
        """Read all gauges."""
        state = self._backend.loading.state
        yield _gauge("sam3_model_ready", "1 when the model is loaded.", [({}, float(state == "ready"))])
        found = self._backend.sessions.statistics()
        for name in ("sessions", "images", "masks", "videos", "jobs"):
            yield _gauge(f"sam3_{name}", f"{name.capitalize()} now.", [({}, float(found[name]))])
        yield from _by_principal(found["principals"])
        features = cast(dict[str, Any], found["features"])
        for name, value in features.items():
            yield _gauge(f"sam3_feature_cache_{name}", f"Memory of encoded images: {name}.", [({}, float(value))])
        replicas = cast(list[dict[str, Any]], found["eye"].get("replicas", []))
        for name in ("encodes", "requests", "cancelled", "refused", "waiting", "batches", "items"):
            rows = [({"device": str(r["device"])}, float(r[name])) for r in replicas if name in r]
            yield _gauge(f"sam3_model_{name}", f"Of each device's queue: {name}.", rows)
        yield _gauge("sam3_gpu_memory_bytes", "Memory in use on each GPU by this process.", list(_gpu_bytes()))


def _by_principal(principals: dict[str, dict[str, Any]]) -> Iterator[Metric]:
    """Use and refusals of each principal."""
    for name in ("sessions", "images", "bytes", "masks", "videos", "calls", "jobs"):
        rows = [({"principal": who}, float(row[name])) for who, row in principals.items()]
        yield _gauge(f"sam3_principal_{name}", f"{name.capitalize()} of each principal now.", rows)
    refused = CounterMetricFamily(
        "sam3_principal_refused", "Calls refused by a limit, and images evicted.", labels=("principal", "limit")
    )
    for who, row in principals.items():
        for limit, count in cast(dict[str, int], row["refused"]).items():
            refused.add_metric((who, limit), float(count))
    yield refused


def _gpu_bytes() -> Iterator[tuple[dict[str, str], float]]:
    from sam3_agent.model.oom import gpu_memory

    for device, count in gpu_memory().items():
        yield {"device": device}, float(count)


def _gauge(name: str, words: str, rows: list[tuple[dict[str, str], float]]) -> GaugeMetricFamily:
    labels = sorted({label for row, _ in rows for label in row})
    family = GaugeMetricFamily(name, words, labels=labels)
    for row, value in rows:
        family.add_metric([row[label] for label in labels], value)
    return family


def _failed(result: HandlerResult) -> bool:
    if isinstance(result, CallToolResult):
        return bool(result.is_error)
    return isinstance(result, dict) and bool(result.get("isError"))
