"""What the gateway answers when it will not, or could not, run."""

from __future__ import annotations

from kit.problems import InvalidRequest, Problem, TooManyRequests, Unauthorized, Unavailable


class InvalidApiKey(Unauthorized):
    code, title = "invalid_api_key", "The API key is missing, unknown, expired or revoked"


class KeyKindNotAllowed(Problem):
    status, code, title = 403, "key_kind_not_allowed", "This kind of key cannot be used here"


class MissingScope(Problem):
    """`scope`: the one that is missing."""

    status, code, title = 403, "missing_scope", "The key may not be used for that"


class ChannelNotAllowed(Problem):
    """`channel`: the one that the plan does not have."""

    status, code, title = 403, "channel_not_allowed", "The instance's plan does not have that channel"


class OriginNotAllowed(Problem):
    status, code, title = 403, "origin_not_allowed", "The key cannot be used from that page"


class InvalidSession(Unauthorized):
    code, title = "invalid_session", "The widget session is not valid"


class SessionExpired(Unauthorized):
    code, title = "session_expired", "The widget session has ended"


class WidgetRateLimited(TooManyRequests):
    """`limit`: which rate, such as `runs_per_visitor`."""

    code, title = "widget_rate_limited", "The widget is used more often than it may be"


class InstanceInactive(Problem):
    status, code, title = 403, "instance_inactive", "The instance is not active"


class UnknownModel(InvalidRequest):
    code, title = "unknown_model", "The instance may not use that model"


class InsufficientCredits(Problem):
    """`reason`: `insufficient_credits`, `request_too_large` (a smaller one would run) or `hold_exhausted`."""

    status, code, title = 402, "insufficient_credits", "There are not enough credits for this run"


class RateLimited(TooManyRequests):
    code, title = "rate_limited", "The instance asks more often than its plan allows"


class TooManyRuns(TooManyRequests):
    code, title = "limit_exceeded", "The instance runs as much at once as its plan allows"


class IdempotencyConflict(Problem):
    status, code, title = 409, "idempotency_conflict", "That Idempotency-Key was used for another request"


class RunInProgress(Problem):
    status, code, title = 409, "run_in_progress", "The first request with that Idempotency-Key still runs"


class UnknownRun(Problem):
    status, code, title = 404, "unknown_run", "The instance has no such run"


class LimitsUnavailable(Unavailable):
    code, title = "limits_unavailable", "Credits cannot be checked right now, so nothing may run"


class MeteringUnavailable(Unavailable):
    code, title = "metering_unavailable", "Usage cannot be recorded right now, so nothing may run"


class Busy(TooManyRequests):
    code, title = "gateway_busy", "This gateway is running as much as it can"
