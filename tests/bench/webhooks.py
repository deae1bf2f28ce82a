"""What webhook calls to a dead port cost a client of /run: medians of 2,000 requests with and without.

`python -m tests.bench.webhooks`
"""

from __future__ import annotations

import statistics

from tests.bench.live import Client, server

REQUESTS = 2_000
ROUNDS = 5
DEAD = "http://127.0.0.1:1/nobody"


def median(client: Client, body: dict[str, object]) -> float:
    """Milliseconds of the median /run."""
    return 1000 * statistics.median(client.post("/v2/echo/run", body) for _ in range(REQUESTS))


def main() -> None:
    """Alternate rounds on a fresh server each, print medians and their ratio."""
    plain: list[float] = []
    with_webhook: list[float] = []
    for _ in range(ROUNDS):
        with server() as port:
            plain.append(median(Client(port), {"input": {"a": 1}}))
        with server() as port:
            with_webhook.append(median(Client(port), {"input": {"a": 1}, "webhook": DEAD}))
    print("round   plain ms   dead webhook ms   ratio")
    for number, (a, b) in enumerate(zip(plain, with_webhook, strict=True), 1):
        print(f"{number:5} {a:10.3f} {b:17.3f} {b / a:7.2f}")
    a, b = statistics.median(plain), statistics.median(with_webhook)
    print(f"median {a:9.3f} {b:17.3f} {b / a:7.2f}")


if __name__ == "__main__":
    main()
