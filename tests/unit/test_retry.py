"""Requests to servers: what a later attempt may change is tried again, what it cannot is not."""

import json

import pytest

from challenge_bundle.errors import UnavailableError
from challenge_bundle.sources.retry import ATTEMPTS, FIRST_WAIT_S, retry


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses, seconds, which are not made."""
    made: list[float] = []
    monkeypatch.setattr("time.sleep", made.append)
    return made


class Flaky:
    def __init__(self, failures: int, fault: Exception) -> None:
        self.left, self.fault, self.calls = failures, fault, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.left:
            raise self.fault
        return "done"


def test_it_succeeds_in_the_end(waits: list[float]) -> None:
    call = Flaky(ATTEMPTS - 1, TimeoutError())
    assert retry(call, "read x") == "done"
    assert call.calls == ATTEMPTS
    assert waits == [FIRST_WAIT_S, 2 * FIRST_WAIT_S, 4 * FIRST_WAIT_S]


def test_it_never_succeeds() -> None:
    call = Flaky(100, RuntimeError("odd\nand long"))
    with pytest.raises(UnavailableError) as fault:
        retry(call, "read x")
    assert fault.value.code == "server-unreachable"
    assert fault.value.finding.message == "cannot read x after 4 attempts (odd)"
    assert "network" in fault.value.finding.hint
    assert call.calls == ATTEMPTS


def test_no_secret_is_in_the_message() -> None:
    call = Flaky(100, RuntimeError("no way to http://u:pw@h/x?sig=s3cret9 (cret9)"))
    with pytest.raises(UnavailableError, match=r"\(no way to http://u:\*{3}@h/x\?sig=\*{3} \(\*{3}\)\); "):
        retry(call, "read x", ["s3cret9"])


class NoCredentialsError(Exception):
    """Of the name that botocore's has."""


class Refused(Exception):
    """As aiohttp's, with the server's answer."""

    status = 403


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (
            NoCredentialsError("Unable to locate credentials"),
            r"\(Unable .*\); give credentials .*--anonymous",
        ),
        (ValueError("Invalid endpoint: localhost:9000"), "localhost:9000.*correct AWS_ENDPOINT_URL"),
    ],
)
def test_a_fault_of_the_settings_ends_it_at_once(fault: Exception, words: str) -> None:
    call = Flaky(100, fault)
    with pytest.raises(UnavailableError, match="cannot read x .*" + words) as found:
        retry(call, "read x")
    assert found.value.code == "server-settings"
    assert call.calls == 1


def test_a_servers_refusal_is_one_of_rights_and_ends_it_at_once() -> None:
    call = Flaky(100, Refused("403, message='Forbidden'"))
    with pytest.raises(PermissionError, match="403"):
        retry(call, "read x")
    assert call.calls == 1


def test_an_answer_out_of_order_is_asked_for_again() -> None:
    assert retry(Flaky(1, json.JSONDecodeError("Expecting value", "", 0)), "read x") == "done"


@pytest.mark.parametrize("fault", [FileNotFoundError("x"), PermissionError("x")])
def test_faults_that_waiting_does_not_change(fault: Exception) -> None:
    call = Flaky(1, fault)
    with pytest.raises(type(fault)):
        retry(call, "read x")
    assert call.calls == 1
