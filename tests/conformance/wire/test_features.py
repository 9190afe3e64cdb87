"""Every feature that callers ask for, put to every language: what is sent, or which member is refused.

`features/callers.json` has the questions; each other file there a language's answers, which follow the documentation
that its `about` names: the members of the body that a question adds to the plain one's, or the member at fault.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from router.wire import WIRES
from services.errors import GatewayError, Reason
from tests.conformance.wire.test_native import deployment_of

FEATURES = Path(__file__).parent / "features"
CALLERS: dict[str, dict[str, Any]] = json.loads((FEATURES / "callers.json").read_text())
LANGUAGES = sorted(path.stem for path in FEATURES.iterdir() if path.stem != "callers")


def sent(case: dict[str, Any], caller: dict[str, Any]) -> dict[str, Any]:
    deployment = deployment_of(case)
    wire = WIRES[deployment.wire](lambda: 1.0)
    body = json.dumps({"model": "group", **caller}).encode()
    decoded = json.loads(wire.encode(body, deployment, stream=False, output_tokens_limit=0).body)
    assert isinstance(decoded, dict)
    return decoded


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_question_has_its_answer(language: str) -> None:
    case = json.loads((FEATURES / f"{language}.json").read_text())
    assert case["answers"].keys() == CALLERS.keys()
    plain = sent(case, CALLERS["plain"])
    assert plain == case["answers"]["plain"]["sent"]
    for name, caller in CALLERS.items():
        answer = case["answers"][name]
        if "refused" in answer:
            with pytest.raises(GatewayError) as caught:
                sent(case, caller)
            assert (caught.value.reason, caught.value.param) == (
                Reason.ERROR_REASON_INVALID_REQUEST,
                answer["refused"],
            ), name
        else:
            assert sent(case, caller) == {**plain, **answer["sent"]}, name
