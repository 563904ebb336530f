"""A bound on the pixels that are in memory at once."""

from threading import Condition


class PixelBudget:
    """A number of pixels that may be in memory; one image may have more if it is alone."""

    def __init__(self, pixels: int) -> None:
        self.free = self.pixels = pixels
        self._changed = Condition()

    def take(self, pixels: int) -> None:
        """Wait until there is room."""
        with self._changed:
            self._changed.wait_for(lambda: self.has_room(pixels))
            self.free -= pixels

    def has_room(self, pixels: int) -> bool:
        """Return whether there is room now."""
        return self.free >= pixels or self.free == self.pixels

    def give(self, pixels: int) -> None:
        """Return room."""
        with self._changed:
            self.free += pixels
            self._changed.notify_all()
