"""The lab's package index: what it takes from a lock, and its pages."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.lab.pypi import Index, applicable

LOCK = """\
# a comment
httpx2==2.14.0 ; python_full_version < '3.11' \\
    --hash=sha256:aa
    # via somebody
httpx2==2.16.2 ; python_full_version >= '3.11' \\
    --hash=sha256:bb \\
    --hash=sha256:cc
colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:dd
numpy==2.5.5 \\
    --hash=sha256:ee
"""


def test_markers_are_read_for_the_target() -> None:
    assert list(applicable(LOCK)) == [
        "httpx2==2.16.2 --hash=sha256:bb --hash=sha256:cc",
        "numpy==2.5.5 --hash=sha256:ee",
    ]


def test_pages(tmp_path: Path) -> None:
    (tmp_path / "Some_Thing.more-1.0-py3-none-any.whl").write_bytes(b"wheel")
    index = Index([tmp_path])
    assert "/simple/some-thing-more/" in (index.page("/simple/") or "")
    page = index.page("/simple/some-thing.MORE/") or ""
    assert f"#sha256={hashlib.sha256(b'wheel').hexdigest()}" in page
    assert index.page("/simple/absent/") is None
    assert index.page("/elsewhere") is None
