"""What a caller of the control plane may be told."""

from __future__ import annotations

from kit.problems import Problem, Unavailable


class Conflict(Problem):
    status, code, title = 409, "conflict", "That does not fit what is there already"


class PreconditionFailed(Problem):
    status, code, title = 412, "precondition_failed", "It has changed since you read it"


class PreconditionRequired(Problem):
    status, code, title = 428, "precondition_required", "Say which version your change is based on"


class DatabaseAway(Unavailable):
    """The database cannot answer now."""

    code, title = "database_unavailable", "Changes and settings are not available right now"


def database_away() -> DatabaseAway:
    return DatabaseAway("Try again in a few seconds.", headers={"Retry-After": "2"}, store="database")
