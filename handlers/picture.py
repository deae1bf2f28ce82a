r"""A picture as base64 in JSON, the way most image workers answer.

Makes a PNG of one colour with the standard library; no imaging package is needed.

Request:
    {"input": {"width": 64, "height": 48, "color": "#3366cc"}}

Try it; `| jq -r .output.image | base64 -d > picture.png` after it writes the file:
    curl http://127.0.0.1:8000/v2/picture/runsync -H 'Authorization: Bearer any-key' \
        -H 'Content-Type: application/json' -d '{"input": {"width": 64, "height": 48, "color": "#3366cc"}}'
"""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

import runpod

MAX_SIDE = 4096


def chunk(kind: bytes, data: bytes) -> bytes:
    """One PNG chunk: length, kind, data, checksum."""
    return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))


def png(width: int, height: int, rgb: bytes) -> bytes:
    """A PNG file of one colour: 8 bits a channel, no alpha, no filter."""
    header = struct.pack("!IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = (b"\0" + rgb * width) * height
    pixels = zlib.compress(rows)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def handler(job: dict[str, Any]) -> dict[str, Any]:
    """Paint a `width` x `height` picture in the colour `#rrggbb`."""
    width, height = (int(job["input"].get(side) or 64) for side in ("width", "height"))
    rgb = bytes.fromhex((job["input"].get("color") or "#3366cc").lstrip("#"))
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE and len(rgb) == 3):
        return {"error": f"width and height must be 1 to {MAX_SIDE}, color like #3366cc"}
    image = base64.b64encode(png(width, height, rgb)).decode()
    return {"image": image, "content_type": "image/png", "width": width, "height": height}


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler})
