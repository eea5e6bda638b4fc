"""Budget in dollars of a whole run."""

import threading
from dataclasses import dataclass, field


class BudgetSpent(Exception):
    """No dollars are left for the next query; the run ends and may be resumed with more."""


@dataclass(slots=True)
class DollarBudget:
    """Dollars that a run may spend and has spent, over all its calls. Safe to share between threads.

    Checked before each query, so that queries which run side by side may each overshoot by one call of the model.
    """

    limit: float | None = None
    spent: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def left(self) -> float | None:
        """Dollars that are left; None without a limit.

        Raises:
            BudgetSpent: nothing is left.
        """
        with self._lock:
            if self.limit is None:
                return None
            if self.spent >= self.limit:
                raise BudgetSpent
            return self.limit - self.spent

    def spend(self, usd: float) -> None:
        """Count dollars."""
        with self._lock:
            self.spent += usd
