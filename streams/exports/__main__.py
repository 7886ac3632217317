"""`python -m streams.exports`: export to the destination that `RUNMETER_EXPORTS_DESTINATION` names."""

from kit.settings import ExportsSettings, WorkerSettings, load
from kit.settings.exports import destinations
from streams.exports.role import ExportRole
from streams.worker import run

if __name__ == "__main__":
    settings = load(ExportsSettings)
    if not settings.file or not settings.destination:
        raise SystemExit("invalid settings: set RUNMETER_EXPORTS_FILE and RUNMETER_EXPORTS_DESTINATION")
    found = destinations(settings.file, settings.destination)
    destination = found[settings.destination]
    # Records that are gathered are not delivered yet: that is no stall.
    worker = load(WorkerSettings)
    patience_ms = worker.stall_timeout_ms + 2 * destination.flush_interval_ms
    run(
        ExportRole(settings.destination, destination),
        worker.model_copy(update={"stall_timeout_ms": patience_ms}),
    )
