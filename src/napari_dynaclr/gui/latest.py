"""Background work for one widget, of which only the newest counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtCore import QObject

    from napari_dynaclr.core.job import Job
    from napari_dynaclr.gui.runner import Run, Runner


class Latest:
    """Runs work whose result is worth something only until the next wish.

    What comes back after a newer wish, or after its owner is gone, reaches nobody.

    Parameters
    ----------
    runner
        Does the work.
    owner
        Whom the results are for.
    lane
        Where the work waits for its turn.
    """

    def __init__(self, runner: Runner, owner: QObject, lane: str) -> None:
        self._runner, self._lane = runner, lane
        self._run: Run | None = None
        self._wish = [0]
        owner.destroyed.connect(self._wish.clear)

    def start(
        self,
        title: str,
        work: Callable[[Job], Any],
        done: Callable[[Any], None],
        failed: Callable[[Exception], None] | None = None,
    ) -> None:
        """Run something instead of what was asked for before; as :meth:`Runner.start`."""
        self.stop()
        wish, mine = self._wish, list(self._wish)

        def tell(what: Callable[[Any], None], value: Any) -> None:
            if wish == mine:
                what(value)

        self._run = self._runner.start(
            title,
            work,
            lambda result: tell(done, result),
            (lambda error: tell(failed, error)) if failed is not None else None,
            self._lane,
        )

    def stop(self) -> None:
        """Want nothing any more."""
        if self._wish:
            self._wish[0] += 1
        if self._run is not None:
            self._run.cancel()
            self._run = None
