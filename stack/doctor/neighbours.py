"""Who is asked over HTTP: the model provider, the issuer, and the processes of a running stack."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp

from stack.doctor.findings import Finding, Place, ok, problem, warning

_TIMEOUT = aiohttp.ClientTimeout(total=5)
#: Parts with a `/readyz`, by the name of their port.
_READY = {
    "gateway": "gateway",
    "runner": "runner",
    "console_api": "console_api",
    "metering": "metering_ops",
    "warehouse": "warehouse_ops",
    "relay": "relay_ops",
    "ingestion": "ingestion_ops",
}


async def look(place: Place) -> AsyncIterator[Finding]:
    """Yield what there is to say of provider, issuer and processes."""
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as http:
        yield await _provider(http, place.model_url)
        if place.issuer_url:
            yield await _issuer(http, place.issuer_url)
        for part, name in _READY.items():
            if name in place.ports:
                yield await _ready(http, part, place.ports[name])


async def _provider(http: aiohttp.ClientSession, url: str) -> Finding:
    remedy = "set RUNMETER_RUNNER_MODEL_BASE_URL to an OpenAI-compatible endpoint that this machine reaches"
    try:
        async with http.get(f"{url.rstrip('/')}/models") as response:
            # Without our key it may refuse; that it answers is what is asked here.
            if response.status < 500:
                return ok("provider", f"{url} answers")
            return problem("provider", f"{url} answers {response.status}", remedy)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return problem("provider", f"{url}: {type(error).__name__}", remedy)


async def _issuer(http: aiohttp.ClientSession, url: str) -> Finding:
    remedy = "set RUNMETER_OIDC_ISSUER to the issuer exactly as its tokens name it"
    try:
        async with http.get(f"{url.rstrip('/')}/.well-known/openid-configuration") as response:
            said = (await response.json())["issuer"] if response.status == 200 else None
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError) as error:
        return problem("issuer", f"{url}: {type(error).__name__}", remedy)
    if said != url:
        return problem("issuer", f"{url} calls itself {said}", remedy)
    return ok("issuer", f"{url} answers")


async def _ready(http: aiohttp.ClientSession, part: str, port: int) -> Finding:
    try:
        async with http.get(f"http://127.0.0.1:{port}/readyz") as response:
            if response.status == 200:
                return ok(part, "ready")
            said = (await response.text())[:300]
            return warning(part, f"not ready: {said}", "see what it names, and docs/operations.md#health")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return problem(
            part,
            f"does not answer on port {port}: {type(error).__name__}",
            f"see {part}.log in the data folder's logs; `runmeter status` shows its restarts",
        )
