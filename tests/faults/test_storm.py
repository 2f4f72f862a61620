"""A short storm on every run of the tests; the long one is ``make faults``."""

import pytest

from tests.faults.fleet import Fleet, closing
from tests.faults.load import Load
from tests.faults.storm import Storm
from tests.faults.system import System

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

SEED = 20_260
KILLS = 16


async def test_a_storm(system: System) -> None:
    """Kills, drops and pauses at random: nothing lost, nothing twice, no stream with a gap."""
    with closing(Fleet(system, doorbell="redis", workers=3, lease=2)) as fleet:
        storm = Storm(fleet, Load(fleet.addresses, SEED), SEED, kills=KILLS, rate=1.5, lease=2)
        found = await storm.run()
        assert not found.wrong, "\n".join(found.wrong)
        assert found.jobs > KILLS
        assert max(storm.delays, default=0) < 15
