"""What the maintenance jobs take and tell."""

from pydantic import BaseModel, ConfigDict


class Nothing(BaseModel):
    """They take nothing: what to keep, the settings say."""

    model_config = ConfigDict(extra="forbid")


class Partitions(BaseModel):
    """How many days of the event log were made ahead."""

    made: int


class Forgotten(BaseModel):
    """How many rows were past their time."""

    idempotency_keys: int
    sessions: int
    sign_in_attempts: int


class Pruned(BaseModel):
    """Jobs deleted, jobs of the installation's own deleted, days of events dropped."""

    jobs: int
    maintenance_jobs: int
    days: list[str]
