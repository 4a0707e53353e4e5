"""From espeak-ng's sample rate to Voxtral's by a windowed-sinc filter, in Python alone and faster than it is spoken.

24000 : 22050 = 160 : 147, so that output sample n lies between the same two input samples, at the same distance, as
sample n + 160: 160 short filters are enough, and each is applied to all the samples of its phase at once.
"""

from __future__ import annotations

import array
import math

SOURCE_RATE, RATE = 22050, 24000
_OUT, _IN = 160, 147
_TAPS = 8
"""Measured with sines: 52 dB above its distortion at 3 kHz, 54 dB at 5 kHz; linear interpolation has 31 and 20 dB."""
_BEFORE = _TAPS // 2 - 1
_CUTOFF = 0.95


def _filter(fraction: float) -> tuple[float, ...]:
    """The weights of the input samples around a point that lies `fraction` behind the middle left one."""
    weights = []
    for tap in range(_TAPS):
        distance = tap - _BEFORE - fraction
        angle = math.pi * distance
        ideal = math.sin(angle * _CUTOFF) / angle if distance else _CUTOFF
        weights.append(ideal * math.cos(angle / _TAPS) ** 2)
    return tuple(weight / sum(weights) for weight in weights)


_FILTERS = [_filter(phase * _IN % _OUT / _OUT) for phase in range(_OUT)]
PEAK = int(32767 / max(sum(map(abs, weights)) for weights in _FILTERS))
"""No input up to this loudness can overflow 16 bits on its way out."""


def length(samples: int) -> int:
    """How many samples come out of so many."""
    return samples * RATE // SOURCE_RATE


def resampled(source: array.array[int], start: int, end: int) -> array.array[int]:
    """Output samples start to end of a quiet enough source; `start` is a multiple of 160."""
    blocks = -(-(end - start) // _OUT)
    first = start // _OUT * _IN - _BEFORE
    heard = source[max(first, 0) : first + (blocks + 1) * _IN + _TAPS]
    padded = [0] * max(-first, 0) + heard.tolist()
    padded += [0] * ((blocks + 1) * _IN + _TAPS - len(padded))
    out = array.array("h", bytes(2 * blocks * _OUT))
    for phase, weights in enumerate(_FILTERS):
        out[phase::_OUT] = _applied(weights, padded, phase * _IN // _OUT, blocks)
    return out[: end - start]


def _applied(weights: tuple[float, ...], padded: list[int], offset: int, blocks: int) -> array.array[int]:
    """One filter on every 147th window; written out, because a loop over the taps takes twice as long."""
    columns = [padded[at : at + blocks * _IN : _IN] for at in range(offset, offset + _TAPS)]
    w0, w1, w2, w3, w4, w5, w6, w7 = weights
    return array.array(
        "h",
        [
            int(a * w0 + b * w1 + c * w2 + d * w3 + e * w4 + f * w5 + g * w6 + h * w7)
            for a, b, c, d, e, f, g, h in zip(*columns, strict=True)
        ],
    )
