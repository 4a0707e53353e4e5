"""What an account is told of Bedrock's models: the control plane, which moto does not have, as moto's own answers.

Answers have the shapes that botocore documents, and what botocore's patterns forbid is refused. Of its refusals the
words are from public reports of InvokeModel and GetFoundationModel (issues on GitHub); none was seen by us.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from functools import cache
from typing import Any
from unittest import mock

from botocore.session import get_session
from botocore.validate import ParamValidator
from moto.bedrock.responses import BedrockResponse
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult

ACTIVE = {"status": "ACTIVE"}
LEGACY = {
    "status": "LEGACY",
    "legacyTime": datetime(2026, 10, 1, tzinfo=timezone.utc),
    "endOfLifeTime": datetime(2027, 4, 1, tzinfo=timezone.utc),
}
USER = "arn:aws:sts::111122223333:assumed-role/operator/somebody"


class Catalog:
    """What each region has; `asked` are the calls that came, `refused` operations and with which error."""

    def __init__(self) -> None:
        self.models: dict[str, dict[str, dict[str, Any]]] = {}
        self.profiles: dict[str, dict[str, tuple[str, ...]]] = {}
        self.asked: list[tuple[str, str]] = []
        self.refused: dict[str, str] = {}

    def has(self, region: str, model: str, *routes: str, **differing: Any) -> None:
        """A region has a model: on demand, or through eu. to these regions."""
        types = ["INFERENCE_PROFILE" if routes else "ON_DEMAND"]
        self.models.setdefault(region, {})[model] = {
            "modelArn": f"arn:aws:bedrock:{region}::foundation-model/{model}",
            "modelId": model,
            "outputModalities": ["TEXT"],
            "responseStreamingSupported": True,
            "inferenceTypesSupported": types,
            "modelLifecycle": ACTIVE,
            **differing,
        }
        if routes:
            self.profiles.setdefault(region, {})[f"eu.{model}"] = routes

    def profile(self, region: str, name: str) -> dict[str, Any]:
        """As AWS describes it."""
        model = name.partition(".")[2]
        return {
            "inferenceProfileName": "EU",
            "inferenceProfileArn": f"arn:aws:bedrock:{region}:111122223333:inference-profile/{name}",
            "inferenceProfileId": name,
            "models": [
                {"modelArn": f"arn:aws:bedrock:{each}::foundation-model/{model}"}
                for each in self.profiles[region][name]
            ],
            "status": "ACTIVE",
            "type": "SYSTEM_DEFINED",
        }

    @contextmanager
    def served(self) -> Iterator[Catalog]:
        """Within moto's account."""
        with ExitStack() as patches:
            for operation in ("ListFoundationModels", "GetFoundationModel", "ListInferenceProfiles"):
                self._serve(patches, operation)
            self._serve(patches, "GetInferenceProfile")
            yield self

    def _serve(self, patches: ExitStack, operation: str) -> None:
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()

        def respond(response: Any) -> ActionResult:
            self.asked.append((response.region, operation))
            if operation in self.refused:
                raise _Refused(self.refused[operation], f"User: {USER} is not authorized to perform: {operation}")
            shapes = _service().operation_model(operation)
            given = {key: response._get_param(key) for key in shapes.input_shape.members if response._get_param(key)}
            for key, value in given.items():
                pattern = shapes.input_shape.members[key].metadata.get("pattern", ".*")
                if not re.fullmatch(pattern, str(value)):
                    raise _Refused("ValidationException", f"The provided {key} is invalid.")
            answer = getattr(self, f"_{name}")(response.region, **given)
            assert not ParamValidator().validate(answer, shapes.output_shape).has_errors()
            return ActionResult(answer)

        patches.enter_context(mock.patch.object(BedrockResponse, name, respond, create=True))

    def _list_foundation_models(self, region: str, byOutputModality: str = "") -> dict[str, Any]:  # noqa: N803
        found = self.models.get(region, {}).values()
        wanted = [each for each in found if byOutputModality in ("", *each["outputModalities"])]
        return {"modelSummaries": wanted}

    def _get_foundation_model(self, region: str, modelIdentifier: str) -> dict[str, Any]:  # noqa: N803
        if modelIdentifier not in self.models.get(region, {}):
            words = "Could not resolve the foundation model from the provided model identifier."
            raise _Refused("ResourceNotFoundException", words)
        return {"modelDetails": self.models[region][modelIdentifier]}

    def _list_inference_profiles(self, region: str, typeEquals: str = "", nextToken: str = "0") -> dict[str, Any]:  # noqa: N803
        """One on a page."""
        names, number = sorted(self.profiles.get(region, {})), int(nextToken)
        summaries = [self.profile(region, name) for name in names[number : number + 1] if typeEquals != "APPLICATION"]
        more = {"nextToken": str(number + 1)} if number + 1 < len(names) else {}
        return {"inferenceProfileSummaries": summaries, **more}

    def _get_inference_profile(self, region: str, inferenceProfileIdentifier: str) -> dict[str, Any]:  # noqa: N803
        if inferenceProfileIdentifier not in self.profiles.get(region, {}):
            raise _Refused("ResourceNotFoundException", "The requested resource was not found.")
        return self.profile(region, inferenceProfileIdentifier)


@cache
def _service() -> Any:
    return get_session().get_service_model("bedrock")


class _Refused(ServiceException):
    """An answer that is an error; moto looks where its class is from."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.code = kind
