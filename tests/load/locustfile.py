"""Users of the service: most look something up, some talk, few bring documents. All think between two requests.

By hand: ``locust -f tests/load/locustfile.py --host http://127.0.0.1:8000``. A run without a browser ends with exit status 1
when more than one request in a thousand failed, or the slowest twentieth of retrievals took longer than LOAD_P95_MS.
"""

import itertools
import os
import random
from typing import Any

from locust import HttpUser, between, events, tag, task

TOPICS = (
    "warranty of pumps",
    "retention of records",
    "travel to Leeds",
    "price of seal kits",
    "notice period",
    "visitor parking",
)
P95_MS = float(os.environ.get("LOAD_P95_MS", "1000"))
FAILURES = 0.001
_numbers = itertools.count()


class Reader(HttpUser):
    """Looks things up."""

    weight = 7
    wait_time = between(0.2, 1.0)

    @tag("retrieve")
    @task
    def retrieve(self) -> None:
        query = f"What is the rule for {random.choice(TOPICS)} in case {next(_numbers)}?"
        self.client.post("/v1/retrieve", json={"query": query, "top_k": 5}, name="retrieve")


class Talker(HttpUser):
    """Asks, and asks again in the same conversation."""

    weight = 2
    wait_time = between(1.0, 3.0)

    @tag("chat")
    @task
    def chat(self) -> None:
        first = self.client.post("/v1/chat", json={"message": f"Tell me about {random.choice(TOPICS)}."}, name="chat")
        if first.ok:
            follow_up = {"message": "And what about exceptions?", "session_id": first.json()["session_id"]}
            self.client.post("/v1/chat", json=follow_up, name="chat")


class Writer(HttpUser):
    """Brings documents, new ones and new versions of old ones."""

    weight = 1
    wait_time = between(1.0, 3.0)

    @tag("ingest")
    @task
    def ingest(self) -> None:
        number = next(_numbers)
        text = f"Minutes {number}. " + f"The {random.choice(TOPICS)} were discussed at length. " * 20
        documents = [{"id": f"minutes-{number % 50}", "text": text}]
        self.client.post("/v1/ingest?wait=true", json={"documents": documents}, name="ingest")


@events.quitting.add_listener
def judge(environment: Any, **_: Any) -> None:
    """Fail the run when it missed its marks."""
    total = environment.stats.total
    p95 = environment.stats.get("retrieve", "POST").get_response_time_percentile(0.95)
    if total.num_requests == 0 or total.fail_ratio > FAILURES or p95 > P95_MS:
        environment.process_exit_code = 1
