"""A runner takes orders from those who show it a service token, and from nobody else."""

from __future__ import annotations

import aiohttp
import msgspec
import pytest
from containers import SERVICE_TOKEN
from odd_model import RunnerWithModel, text, usage

from kit.service_tokens import ServiceTokens
from schemas.runner import EXECUTE_PATH, SEARCH_PATH, TOOL_CALL_PATH, TOOLS_PATH, cancel_path, step_path

_NEW = "a-newer-service-token-of-many-characters"
_WRONG = [
    {},
    {"Authorization": ""},
    {"Authorization": "Bearer "},
    {"Authorization": SERVICE_TOKEN},
    {"Authorization": f"Bearer {SERVICE_TOKEN}x"},
    {"Authorization": f"Bearer {SERVICE_TOKEN[:-1]}"},
    {"Authorization": f"Basic {SERVICE_TOKEN}"},
]


@pytest.mark.parametrize("headers", _WRONG)
@pytest.mark.parametrize(
    "path",
    [EXECUTE_PATH, step_path("run_1"), cancel_path("run_1"), SEARCH_PATH, TOOLS_PATH, TOOL_CALL_PATH, "/"],
)
async def test_without_a_token_nothing_is_done(
    runner: RunnerWithModel, path: str, headers: dict[str, str]
) -> None:
    runner.model.says(lambda _: [text("Hello"), usage(1, 1)])
    body = msgspec.json.encode(runner.request())
    async with (
        aiohttp.ClientSession() as http,
        http.post(runner.service.url + path, data=body, headers=headers) as response,
    ):
        assert (response.status, response.content_type) == (401, "application/problem+json")
        problem = await response.json(content_type=None)
    assert problem["code"] == "unauthorized"
    assert "RUNMETER_RUNNER_SERVICE_TOKENS" in problem["detail"]
    assert runner.model.asked == []


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_health_and_metrics_are_open(runner: RunnerWithModel, path: str) -> None:
    async with aiohttp.ClientSession() as http, http.get(runner.service.url + path) as response:
        assert response.status == 200


async def test_all_tokens_open_so_that_they_can_be_changed(runner: RunnerWithModel) -> None:
    runner.model.says(lambda _: [text("Hello"), usage(1, 1)])
    service = await runner.plane.runner(
        runner.model,  # type: ignore[arg-type]
        RUNNER_SERVICE_TOKENS=f"{_NEW}, {SERVICE_TOKEN}",
    )
    frames, _ = await RunnerWithModel(runner.plane, service, runner.model).run()
    assert frames[-1].status == "completed"
    assert ServiceTokens(f"{_NEW},{SERVICE_TOKEN}", "X").header == {"Authorization": f"Bearer {_NEW}"}
    await service.stop()


@pytest.mark.parametrize("named", ["", " , ", "short", f"{SERVICE_TOKEN},short", "ü" * 40])
def test_without_tokens_nothing_starts(named: str) -> None:
    with pytest.raises(SystemExit, match="RUNMETER_RUNNER_SERVICE_TOKENS") as stopped:
        ServiceTokens(named, "RUNMETER_RUNNER_SERVICE_TOKENS")
    assert not named.strip(" ,") or named not in str(stopped.value)
