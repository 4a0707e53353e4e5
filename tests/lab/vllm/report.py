"""How the engines talk: vLLM's log lines, and its way of dying."""

from __future__ import annotations

import json
import logging
import logging.config
import os
import time
from pathlib import Path


class EngineDeath(Exception):  # noqa: N818 - it is an ending, not a mistake of this program
    """An engine refuses to start: the class and the text that the real one prints last."""

    def __init__(self, kind: str, message: str, *, process: str = "EngineCore") -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.process = process


def log(source: str, text: str, *, process: str = "EngineCore", level: str = "INFO") -> None:
    """One line in vLLM's format; `source` names the real file that says it."""
    stamp = time.strftime("%m-%d %H:%M:%S")
    for line in text.splitlines() or [""]:
        print(f"({process} pid={os.getpid()}) {level} {stamp} [{source}] {line}", flush=True)


def logs_what_is_spoken() -> bool:
    """Whether vllm-omni's line with the start of each sentence is printed: at INFO, unless its logger is raised.

    The real engine hands the file named by VLLM_LOGGING_CONFIG_PATH to dictConfig, as this does.
    """
    logging.getLogger("vllm_omni").setLevel(logging.INFO)
    path = os.environ.get("VLLM_LOGGING_CONFIG_PATH")
    if path:
        logging.config.dictConfig(json.loads(Path(path).read_text(encoding="utf-8")))
    return logging.getLogger("vllm_omni.entrypoints.openai.serving_speech").isEnabledFor(logging.INFO)


def print_death(death: EngineDeath) -> None:
    """The root cause as the failing process prints it, then what the API server makes of it."""
    if death.process != "APIServer":
        log("core.py:1099", f"{death.process} failed to start.", process=death.process, level="ERROR")
    log(
        "core.py:1099",
        f"Traceback (most recent call last):\n{death.kind}: {death.message}",
        process=death.process,
        level="ERROR",
    )
    if death.process != "APIServer":
        print(
            f"(APIServer pid={os.getpid()}) RuntimeError: Engine core initialization failed. "
            "See root cause above. Failed core proc(s): {}",
            flush=True,
        )
