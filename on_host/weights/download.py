"""The missing files of one model into its staging directory: resumed, in parallel, verified before they get names."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import closing
from itertools import chain

from on_host.weights.digest import Expected
from on_host.weights.origin import Origin, RefusedError
from on_host.weights.part import Part
from on_host.weights.progress import Progress, say
from on_host.weights.store import Staging
from on_host.weights.window import Segment, Window, segments


class Downloads:
    """Fetches files of one model.

    Args:
        origin: where from.
        staging: where to.
        progress: is told of every byte.
    """

    def __init__(self, origin: Origin, staging: Staging, progress: Progress) -> None:
        self._origin, self._staging, self._progress = origin, staging, progress

    def fetch(self, files: Mapping[str, Expected]) -> dict[str, str]:
        """Fetch what is missing of each file; a file that arrives damaged is fetched once more.

        Returns:
            the sha256 of each.

        Raises:
            RefusedError: the origin does not give a file, or gives a damaged one twice.
            OSError: the disk is full or broken; what was written stays for the next run.
        """
        digests, damaged = self._attempt(files)
        for path, problem in damaged.items():
            say(f"{self._staging.name}: {path} arrived damaged ({problem}); once more.")
            self._progress.again(files[path].size)
        again, still_damaged = self._attempt({path: files[path] for path in damaged})
        for path, problem in still_damaged.items():
            raise RefusedError(
                f"{self._origin.source}: {path} arrived damaged twice ({problem}). Nothing was installed."
            )
        return {**digests, **again}

    def _attempt(self, files: Mapping[str, Expected]) -> tuple[dict[str, str], dict[str, str]]:
        """Digests of the files that are whole now, and what is wrong with the others."""
        parts = {path: Part(self._staging.path / path, expected) for path, expected in files.items()}
        self._read_back(parts)
        digests: dict[str, str] = {}
        damaged: dict[str, str] = {}
        try:
            with closing(self._fill(parts)) as filled:
                for path in filled:
                    problem = parts[path].finish()
                    digest = parts.pop(path).digest.sha256
                    if problem is None:
                        self._staging.note(path, digest)
                        digests[path] = digest
                    else:
                        damaged[path] = problem
        finally:
            for part in parts.values():
                part.close()
        return digests, damaged

    def _read_back(self, parts: Mapping[str, Part]) -> None:
        """Open the parts; what an earlier run left is hashed once more, because a hash has no memory."""
        held = sum(part.vouched() for part in parts.values())
        reading = Progress(held, f"{self._staging.name}: reading back what an earlier run fetched")
        for path, part in parts.items():
            before = part.vouched()
            part.open(reading.add)
            if part.digest.size:
                say(f"{self._staging.name}: {path} goes on at byte {part.digest.size} of {part.expected.size}.")
            self._progress.again(before - part.digest.size)

    def _fill(self, parts: Mapping[str, Part]) -> Generator[str, None, None]:
        """Write what comes; yields each file's path when its last byte was written."""
        yield from [path for path, part in parts.items() if part.digest.size == part.expected.size]
        window = Window(self._origin, self._trouble, self._progress.tick)
        for segment, content in window.read(self._missing(parts)):
            part = parts[segment.path]
            part.write(content)
            self._progress.add(len(content))
            if segment.end == part.expected.size:
                yield segment.path

    def _missing(self, parts: Mapping[str, Part]) -> Iterable[Segment]:
        """Every byte that is not there; small files first. Only large-file storage is known to serve ranges."""
        order = sorted(parts.items(), key=lambda item: item[1].expected.size)
        return chain.from_iterable(
            segments(path, part.digest.size, part.expected.size, ranges=part.expected.git_sha1 is None)
            for path, part in order
        )

    def _trouble(self, words: str) -> None:
        self._progress.trouble(f"{self._staging.name}: {words}")
