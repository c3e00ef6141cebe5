"""How fast a sweep goes on, and how long it will take."""

from dataclasses import dataclass, field

SECONDS = 2.0
"""So long work must be seen to go on before its pace is told from that alone, without the start of the processes."""


@dataclass
class Pace:
    """What was seen of work of so many epochs in `total`: when how much of it was done, in seconds of one clock."""

    total: int
    seen: list[tuple[float, float]] = field(default_factory=list)
    now: float = 0.0

    def see(self, done: float, now: float) -> None:
        """So much is done now. Only the beginning, the first progress and the last are kept."""
        if not self.seen or (done > self.seen[-1][1] and len(self.seen) < 3):
            self.seen.append((now, done))
        elif len(self.seen) == 3:
            self.seen[-1] = (now, max(done, self.seen[-1][1]))
        self.now = now

    @property
    def gone(self) -> float:
        """Seconds since the beginning."""
        return self.now - self.seen[0][0] if self.seen else 0.0

    @property
    def left(self) -> float | None:
        """Seconds to go, at the pace so far; None before anything was seen to go on."""
        if len(self.seen) < 2:
            return None
        since, last = self.seen[0], self.seen[-1]
        if len(self.seen) == 3 and last[0] - self.seen[1][0] >= SECONDS and last[1] > self.seen[1][1]:
            since = self.seen[1]
        return (self.total - last[1]) * (last[0] - since[0]) / (last[1] - since[1])


def clock(seconds: float) -> str:
    """'0:42', '12:05', '1:02:05'."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
