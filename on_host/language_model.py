"""What keeps Bedrock from answering the agent, in words that name the setting and the fix. Pure.

The agent names a kind (agent/voice_agent/bedrock_errors.py); AWS's own texts, which hold accounts and ARNs, stay there.
"""

from __future__ import annotations

_LIST = "`.venv/bin/python -m voicestack.bedrock` in the clone lists what there is"
WORDS = {
    "denied": "AWS denies it: the instance's role (or the agent's key) needs bedrock:InvokeModelWithResponseStream on "
    "agent_bedrock_model, and with an eu. profile also on the model behind it in all of site_allowed_regions "
    "(voicestack.launch makes such a role); a service control policy may deny it too",
    "no access": "the AWS account has no access to agent_bedrock_model: ask for it in Bedrock's console in "
    "site_region, with a new account perhaps at AWS's support; models of other vendors than Mistral may need rights of "
    "aws-marketplace",
    "ended": "agent_bedrock_model is at its end: AWS serves a legacy model only to accounts that used it in the last "
    f"weeks, and an ended one to nobody; name another: {_LIST}",
    "unknown model": f"site_region has no model or inference profile agent_bedrock_model, or has it no more: {_LIST}",
    "profile": f"agent_bedrock_model is not sold on demand in site_region: name an inference profile, eu. ...: {_LIST}",
    "credentials": "AWS accepts no credentials of the agent: give the instance a role (voicestack.launch makes one; "
    "its metadata service must be on), or this run AGENT_AWS_ACCESS_KEY_ID and AGENT_AWS_SECRET_ACCESS_KEY; if there "
    "are some, they are wrong or expired, the host's clock is wrong, or the account has not enabled site_region",
    "throttled": "Bedrock takes no more just now: it is busy, or the account's quota for agent_bedrock_model is used "
    "up (Service Quotas in AWS's console shows it; a new account's may be near 0)",
    "invalid": "Bedrock refuses what the agent asks of agent_bedrock_model: the model must take system prompts in "
    "Converse, and agent_bedrock_temperature",
    "timeout": "Bedrock did not answer in time: the host must be able to go out to it on port 443",
    "unreachable": "Bedrock cannot be reached from the host: the name in agent_bedrock_url (empty: AWS's own of "
    "site_region) must resolve, the host must be able to go out to it on port 443, and site_region must have Bedrock",
    "failed": "Bedrock failed; run again, and look at https://health.aws.amazon.com",
}
"""A kind of the agent's -> what is wrong and what to do. A kind that is not here is a newer agent's."""

UNASKED = "unasked"
PASSING = frozenset({"throttled"})
"""It works, but not at this moment."""


def answered(kind: str) -> bool:
    """Whether the model is there, be it busy."""
    return not kind or kind in PASSING


def told(kind: str, model: str, region: str) -> str:
    """The sentence for a run's end.

    Args:
        kind: what the agent says; UNASKED: it says nothing.
        model: agent_bedrock_model.
        region: site_region.
    """
    if kind == UNASKED:
        return "the agent's container did not ask Bedrock for a token; `docker logs voice-voice-agent-1` on the host"
    return f"{model} in {region}: {WORDS.get(kind, kind)}"
