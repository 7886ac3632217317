"""`python -m streams.exports`: export to the destination that `RUNMETER_EXPORTS_DESTINATION` names."""

from kit.settings import ExportsSettings, load
from kit.settings.exports import destinations
from streams.exports.role import ExportRole
from streams.worker import run

if __name__ == "__main__":
    settings = load(ExportsSettings)
    if not settings.file or not settings.destination:
        raise SystemExit("invalid settings: set RUNMETER_EXPORTS_FILE and RUNMETER_EXPORTS_DESTINATION")
    found = destinations(settings.file, settings.destination)
    run(ExportRole(settings.destination, found[settings.destination]))
