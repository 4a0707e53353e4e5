"""The lab's word list as a logits processor of the real vLLM: template and tokens are real, the verdict is ours.

Runs inside vLLM (entry point group vllm.logits_processors, made by install.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from transformers import AutoTokenizer
from vllm.v1.sample.logits_processor import AdapterLogitsProcessor

from tests.lab.vllm.guard import CATEGORIES, judge


class Judge(AdapterLogitsProcessor):  # type: ignore[misc]
    """Leaves one token possible at a time: the verdict's next one."""

    def __init__(self, config: Any, *rest: Any) -> None:
        super().__init__(config, *rest)
        self.tokenizer = AutoTokenizer.from_pretrained(config.model_config.tokenizer)

    def is_argmax_invariant(self) -> bool:
        return False

    def new_req_logits_processor(self, _: object) -> Callable[[list[int], list[int], Any], Any]:
        return self.force

    def force(self, prompt: list[int], output: list[int], logits: Any) -> Any:
        """One row."""
        verdict = self.verdict(prompt)
        logits[:] = float("-inf")
        logits[verdict[min(len(output), len(verdict) - 1)]] = 0.0
        return logits

    def verdict(self, prompt: list[int]) -> list[int]:
        """On the last message, in the categories that the template left in."""
        categories, conversation = self.tokenizer.decode(prompt).split("<BEGIN CONVERSATION>\n\n")
        known = set(re.findall(r"^(S\d+): ", categories, re.MULTILINE)) & CATEGORIES
        last = re.split(r"^(?:User|Agent): ", conversation, flags=re.MULTILINE)[-1]
        words = "".join(judge(last.partition("<END CONVERSATION>")[0], known)) + self.tokenizer.eos_token
        return list(self.tokenizer.encode(words, add_special_tokens=False))
