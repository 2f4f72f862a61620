"""What can go wrong with schedules.

::

    YeoulError
    ├─ NotFound      └─ ScheduleNotFound
    ├─ InvalidInput  └─ InvalidSchedule
    └─ Conflict      ├─ ScheduleNameTaken  ├─ TooManySchedules  └─ ScheduleBusy
"""

from yeoul.core.base.errors import Conflict, InvalidInput, NotFound


class ScheduleNotFound(NotFound):
    """No such schedule, or somebody else's."""

    code = "schedule_not_found"


class InvalidSchedule(InvalidInput):
    """A cron expression, an interval or a time zone that makes no sense, or comes too often."""

    code = "invalid_schedule"

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail, errors=[{"loc": ["body", field], "message": detail, "type": "invalid_schedule"}])


class ScheduleNameTaken(Conflict):
    """Another schedule of this user has the name."""

    code = "schedule_name_taken"


class TooManySchedules(Conflict):
    """The user has as many schedules as one may have."""

    code = "too_many_schedules"


class ScheduleBusy(Conflict):
    """The schedule does not overlap its runs, and its last one has not ended."""

    code = "schedule_busy"
