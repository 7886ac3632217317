"""`python -m gateway`: serve the public API."""

from gateway.app import create_app
from kit import http_app
from kit.settings import GatewaySettings, load

if __name__ == "__main__":
    settings = load(GatewaySettings)
    http_app.serve("gateway", create_app(), settings.host, settings.port, edge=True)
