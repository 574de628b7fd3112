"""What items on Ray say, kept until it is asked for. In a file of its own, so that the
process that keeps it imports next to nothing."""


class Listener:
    """What the items say, until somebody takes it."""

    def __init__(self) -> None:
        self.said: list[tuple[int, str]] = []

    def hear(self, number: int, text: str) -> None:
        """An item says something."""
        self.said.append((number, text))

    def take(self) -> list[tuple[int, str]]:
        """All that was said since the last time."""
        taken, self.said = self.said, []
        return taken
