"""One trace from the HTTP request through the worker, another process, to the model call."""

from pathlib import Path

import httpx

from tests.core.telemetry.collector import collecting
from tests.deploy.fleet import Process, clean_environment
from tests.ports import free_port
from yeoul.core.runtime.services import DatabaseUrls

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5


def test_a_trace_crosses_processes(urls: DatabaseUrls, tmp_path: Path) -> None:
    port = free_port()
    with collecting() as collector:
        environment = clean_environment() | {
            "YEOUL_DATA_DIR": str(tmp_path),
            "YEOUL_DATABASE_URL": urls.app,
            "YEOUL_SERVICE_DATABASE_URL": urls.service,
            "YEOUL_FAKE_MODELS": "true",
            "YEOUL_LOCAL_ENABLED": "false",
            "YEOUL_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        api = Process(["api", "--port", str(port)], environment, tmp_path)
        worker = Process(["worker"], environment | {"OTEL_SERVICE_NAME": "the-worker"}, tmp_path)
        try:
            api.start()
            worker.start()
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                account = {"email": "a@example.com", "password": "correct horse battery"}
                token = client.post("/api/auth/register", json=account).json()["access_token"]
                headers = {"Authorization": f"Bearer {token}", "traceparent": f"00-{TRACE}-{CALLER}-01"}
                body = {
                    "kind": "llm.complete",
                    "input": {"model": "fake/echo", "prompt": "a secret", "parameters": {"max_tokens": 20}},
                }
                job = client.post("/api/jobs", json=body, headers=headers).json()
                client.get(f"/api/jobs/{job['id']}/events", headers={"Authorization": f"Bearer {token}"})
                assert client.get("/health").status_code == 200
            spans = collector.wait_for(lambda spans: len([s for s in spans if s.trace_id == TRACE]) == 4)
        finally:
            worker.stop()
            api.stop()
        everything = collector.spans
    assert collector.paths == {"/v1/traces"}
    ours = {span.kind: span for span in spans if span.trace_id == TRACE}
    request, submit, process, call = (ours[kind] for kind in (SERVER, PRODUCER, CONSUMER, CLIENT))
    assert [request.name, submit.name, process.name, call.name] == [
        "POST /api/jobs",
        "submit llm.complete",
        "process llm.complete",
        "chat echo",
    ]
    assert [s.parent_id for s in (request, submit, process, call)] == [
        CALLER,
        request.span_id,
        submit.span_id,
        process.span_id,
    ]
    assert (request.service, process.service) == ("yeoul", "the-worker")
    assert request.instance == submit.instance != process.instance == call.instance
    assert request.attributes["http.response.status_code"] == 202
    assert request.attributes["http.route"] == "/api/jobs"
    assert process.attributes["messaging.message.id"] == submit.attributes["messaging.message.id"] == job["id"]
    assert process.attributes["yeoul.job.attempt"] == 1
    assert call.attributes["gen_ai.operation.name"] == "chat"
    assert call.attributes["gen_ai.provider.name"] == "fake"
    assert call.attributes["gen_ai.request.model"] == "echo"
    assert call.attributes["gen_ai.request.max_tokens"] == 20
    assert call.attributes["gen_ai.usage.input_tokens"] > 0
    assert call.attributes["gen_ai.usage.output_tokens"] > 0
    assert call.attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert not any(span.failed for span in ours.values())
    assert "a secret" not in repr(everything)  # no prompt unless a setting says so
    assert not [span for span in everything if "/health" in repr(span)]
