"""`python -m runner`: execute runs for the gateways."""

from kit import http_app
from kit.settings import RunnerSettings, load
from runner.app import create_app

if __name__ == "__main__":
    settings = load(RunnerSettings)
    http_app.serve("runner", create_app(), settings.host, settings.port, edge=False)
