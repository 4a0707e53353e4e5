"""What Bedrock offers in the allowed regions, and what of it these settings may name: python -m voicestack.bedrock.

    python -m voicestack.bedrock                      models and inference profiles of agent_bedrock_model's vendor
    python -m voicestack.bedrock --vendor anthropic   of another one

Asks with your own rights (boto3's credentials, VOICE_ROLE_ARN). What is listed, the account may still be denied: the
token at the end of a deploy is the proof. Preflight asks the same of agent_bedrock_model alone.

Exit status: 0 site_region offers agent_bedrock_model, it is not LEGACY, and these settings accept it; 1 not so, or AWS
cannot be asked; 2 the settings cannot be read.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from botocore.config import Config
from botocore.exceptions import ClientError
from pyinfra.api.exceptions import PyinfraError

from agent.voice_agent.residency import geography, is_aws, refused_model
from voicestack.aws import REFUSALS, Account, account, code
from voicestack.connect import environment, prerequisites
from voicestack.settings.load import of_group
from voicestack.settings.model import Settings

BRIEF = Config(connect_timeout=3, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 1})
WAIT_S = 6
"""A run that is through with the host's preflight waits so long for an answer that it can do without."""

ABSENT = frozenset({"ResourceNotFoundException", "ValidationException"})
"""How Bedrock says that it knows no model, or no profile, of a name."""

LIST = "`.venv/bin/python -m voicestack.bedrock` lists what there is"


class Offer(NamedTuple):
    """A model, or the inference profile in front of it, as a region offers it."""

    id: str
    routes: tuple[str, ...]
    """The regions that may answer: those of a profile, for a model its own."""
    on_demand: bool
    lifecycle: Mapping[str, Any]
    """Of the model, as AWS says it; empty: it was not said."""

    def refusal(self, allowed: Sequence[str]) -> str:
        """Why these settings may not name it, or ""."""
        if not self.on_demand:
            return "is not sold on demand there, but perhaps through an inference profile"
        if beyond := [region or "anywhere" for region in self.routes if region not in allowed]:
            return f"routes to {', '.join(beyond)} too, outside site_allowed_regions"
        return refused_model(self.id, allowed) or ""

    @property
    def age(self) -> str:
        """ACTIVE, or LEGACY with its dates."""
        dates = {"legacyTime": "since", "endOfLifeTime": "ends"}
        said = [f"{word} {self.lifecycle[key]:%Y-%m-%d}" for key, word in dates.items() if key in self.lifecycle]
        is_legacy = self.lifecycle.get("status") == "LEGACY"
        return ", ".join(["LEGACY", *said]) if is_legacy else self.lifecycle.get("status", "unknown")


def _model(found: Mapping[str, Any], region: str) -> Offer:
    return Offer(found["modelId"], (region,), "ON_DEMAND" in _types(found), found.get("modelLifecycle", {}))


def _types(found: Mapping[str, Any]) -> Sequence[str]:
    return tuple(found.get("inferenceTypesSupported", ("ON_DEMAND",)))  # it need not be there


def _profile(found: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]]) -> Offer:
    routes = sorted({each["modelArn"].split(":")[3] for each in found["models"]})
    lifecycle = models.get(_behind(found), {}).get("modelLifecycle", {})
    return Offer(found["inferenceProfileId"], tuple(routes), True, lifecycle)


def _behind(profile: Mapping[str, Any]) -> str:
    """The id of the model that a profile leads to, which is the same in all its regions."""
    return str(profile["models"][0]["modelArn"].rpartition("/")[2])


def _vendor(name: str) -> str:
    return name.removeprefix(f"{geography(name)}.").partition(".")[0]


def offers(client: Any, region: str, vendor: str) -> list[Offer]:
    """What a vendor offers in a region that can stream text, as the agent needs it; by name."""
    found = client.list_foundation_models(byOutputModality="TEXT")["modelSummaries"]
    models = {each["modelId"]: each for each in found if each.get("responseStreamingSupported")}
    pages = client.get_paginator("list_inference_profiles").paginate(typeEquals="SYSTEM_DEFINED")
    profiles = [each for page in pages for each in page["inferenceProfileSummaries"] if _behind(each) in models]
    # What is neither is sold by provisioned throughput.
    own = [each for each in models.values() if {"ON_DEMAND", "INFERENCE_PROFILE"} & {*_types(each)}]
    every = [*(_profile(each, models) for each in profiles), *(_model(each, region) for each in own)]
    ours = [each for each in every if _vendor(each.id) == vendor]
    return sorted(ours, key=lambda each: each.id)


def offered(client: Any, region: str, model: str) -> Offer:
    """What a region offers under this name: two calls for a profile, one for a model.

    Raises:
        ClientError: AWS refuses to say, or knows no such name (ABSENT).
        BotoCoreError: AWS cannot be asked.
    """
    if not geography(model):
        return _model(client.get_foundation_model(modelIdentifier=model)["modelDetails"], region)
    profile = client.get_inference_profile(inferenceProfileIdentifier=model)
    name = _behind(profile)
    try:
        details = client.get_foundation_model(modelIdentifier=name)["modelDetails"]
    except ClientError:
        details = {}  # where it routes to is said
    return _profile(profile, {name: details})


# --- before a deploy ------------------------------------------------------------------------------------------------


class Answer(NamedTuple):
    """What keeps agent_bedrock_model from being asked, and what to know of it."""

    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def answer(asked: Account, model: str, allowed: Sequence[str]) -> Answer:
    """What Bedrock says of a model in the account's region; that it cannot be asked is a note."""
    what, region = f"agent_bedrock_model: {model}", asked.region
    try:
        asked.credentials()  # without any, no client need be made, which takes longer
        offer = offered(asked.client("bedrock", BRIEF), region, model)
    except REFUSALS as error:
        if code(error) in ABSENT:
            return Answer((f"{what}: {region} (site_region) has no such model or inference profile; {LIST}",))
        return Answer(notes=(_unasked(model, region, _why(error)),))
    if refusal := offer.refusal(allowed):
        return Answer((f"{what} {refusal}; {LIST}",))
    if offer.lifecycle.get("status") == "LEGACY":
        served = "AWS serves it only to accounts that used it in the last weeks"
        return Answer(notes=(f"{what} is {offer.age}: {served}; {LIST}",))
    return Answer()


def _unasked(model: str, region: str, why: str) -> str:
    return f"{model} in {region}: AWS cannot be asked beforehand ({why}); the end of a deploy asks it for one token"


def _why(error: Exception) -> str:
    """Without AWS's own words where it answered: they name accounts and users."""
    if "AccessDenied" in code(error):
        return "you lack bedrock:GetInferenceProfile, GetFoundationModel, ListInferenceProfiles, ListFoundationModels"
    if code(error) == "UnrecognizedClientException":
        return "AWS accepts no credentials of yours there: they are wrong, or the account has not enabled the region"
    return code(error) or str(error)


class Question(threading.Thread):
    """Asks while preflight asks the host."""

    def __init__(self, model: str, region: str, allowed: tuple[str, ...], role_arn: str, metadata: bool) -> None:
        super().__init__(daemon=True)
        self._answer = Answer(notes=(_unasked(model, region, f"no answer in {WAIT_S} s"),))
        self._asked = model, region, allowed, role_arn, metadata

    def run(self) -> None:
        """The thread's work."""
        model, region, allowed, role_arn, metadata = self._asked
        asked = account(region, role_arn) if metadata else Account(region, role_arn, metadata=False)
        self._answer = answer(asked, model, allowed)

    def answer(self) -> Answer:
        """What AWS said, waited for."""
        self.join(WAIT_S)
        return self._answer


_LOCK = threading.Lock()


@functools.cache
def _question(*about: Any) -> Question:
    made = Question(*about)
    made.start()
    return made


def question(settings: Settings, *, through_ec2: bool) -> Question | None:
    """Have AWS asked for agent_bedrock_model, once for all hosts of a run that mean the same; None: it is not AWS's.

    Args:
        settings: the host's.
        through_ec2: EC2 told of the host, with credentials that may be this machine's own role.
    """
    agent, site = settings.agent, settings.site
    if agent.bedrock_url and not is_aws(agent.bedrock_url):
        return None
    role_arn = os.environ.get("VOICE_ROLE_ARN", "").strip()
    with _LOCK:  # hosts are prepared side by side
        return _question(agent.bedrock_model, site.region, tuple(site.allowed_regions), role_arn, through_ec2)


# --- the command ----------------------------------------------------------------------------------------------------


def listing(found: Mapping[str, Sequence[Offer] | str], settings: Settings, group: str) -> Iterator[str]:
    """The command's lines. Pure.

    Args:
        found: region -> what it offers, or why it could not be asked.
        settings: that shall name one of them.
        group: the file of group_data that would.
    """
    allowed, lines = settings.site.allowed_regions, []
    for region, offered_there in found.items():
        if isinstance(offered_there, str):
            yield f"{region}: cannot be asked: {offered_there}"
            continue
        yield f"{region}:{'' if offered_there else ' nothing'}"
        for offer in offered_there:
            way = f"to {', '.join(offer.routes)}" if geography(offer.id) else "on demand"
            refusal = offer.refusal(allowed)
            yield f"  {offer.id:<42} {offer.age:<8} {f'NOT ACCEPTED: {refusal}' if refusal else way}"
            if not refusal and offer.lifecycle.get("status") != "LEGACY":
                lines.append(f'  site_region, agent_bedrock_model = "{region}", "{offer.id}"')
    if lines:
        yield f"One of these lines in group_data/{group}.py takes it, if the account may use it:"
        yield from lines


def main(words: list[str]) -> int:
    """Ask every allowed region, print, and say by the exit status whether the settings' model is there."""
    parser = argparse.ArgumentParser(prog="python -m voicestack.bedrock", description="What Bedrock offers.")
    parser.add_argument("--data", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    parser.add_argument("--group", default="prod", help="the file of group_data over all.py (default: prod)")
    parser.add_argument("--vendor", default="", help="whose models (default: agent_bedrock_model's)")
    arguments = parser.parse_args(words)
    try:
        settings = of_group(arguments.group, arguments.data)
        role_arn = environment.read().role_arn
    except (PyinfraError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    site, model = settings.site, settings.agent.bedrock_model
    try:
        account(site.region, role_arn).credentials()
    except REFUSALS as error:
        print(f"AWS credentials: {error}; {prerequisites.CREDENTIALS}", file=sys.stderr)
        return 1
    vendor = arguments.vendor or _vendor(model)
    found: dict[str, Sequence[Offer] | str] = {}
    for region in site.allowed_regions:
        try:
            found[region] = offers(account(region, role_arn).client("bedrock", BRIEF), region, vendor)
        except REFUSALS as error:
            found[region] = _why(error)
    for line in listing(found, settings, arguments.group):
        print(line)
    said = answer(account(site.region, role_arn), model, site.allowed_regions)
    for line in (*said.problems, *said.notes):
        print(line)
    return int(said != Answer())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
