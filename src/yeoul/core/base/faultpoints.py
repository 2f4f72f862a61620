"""Named points of the code where a test may have its process die, or stop.

``YEOUL_FAULT_POINT=flush.written:kill`` has a process kill itself (``SIGKILL``) when it first passes the point of that
name, ``…:stop`` has it stop (``SIGSTOP``) until somebody sends ``SIGCONT``. Unset, as everywhere but in these tests
(``tests/faults``), passing a point is one comparison. It is no setting: nobody who runs Yeoul has a use for it.

======================  ================================================================================================
``job.claimed``         the claim has committed; the handler has not begun
``step.run``            a step has run; its result is not stored
``step.stored``         its result is stored; the handler does not know
``flush.written``       what was said has committed; nobody has been rung for it
``job.ending``          the handler has ended; nothing of that is written
``job.ended``           the end has committed; neither client nor worker has been told
``cancel.heard``        a running job was asked to stop; its handler has not been
``lost.taken``          a dead worker's jobs are back in the queue; nobody has been rung for them
``commit.unrung``       a request has committed; neither worker nor client has been told
``drain.begun``         the process was told to stop, and claims nothing more
======================  ================================================================================================
"""

import os
import signal
from functools import cache

VARIABLE = "YEOUL_FAULT_POINT"
_ACTIONS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
_passed: set[str] = set()


def reach(point: str) -> None:
    """Passes a point."""
    if point == _armed()[0] and point not in _passed:
        _passed.add(point)
        os.write(2, f"fault point {point}\n".encode())
        os.kill(os.getpid(), _armed()[1])


@cache
def _armed() -> tuple[str, signal.Signals]:
    point, _, action = os.environ.get(VARIABLE, "").partition(":")
    return point, _ACTIONS.get(action, signal.SIGKILL)
