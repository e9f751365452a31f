"""What a Python client reads: routes by requests, keys and channels by redis-py."""

import json
import sys
import time

import redis
import requests

url, redis_url = sys.argv[1:3]
session = requests.Session()


def data(path, **params):
    answer = session.get(url + path, params=params, timeout=10)
    assert answer.status_code == 200, (path, answer.status_code, answer.text)
    assert answer.headers["content-encoding"] == "gzip" or len(answer.content) < 64, path
    body = answer.json()
    assert body["success"] is True and abs(body["ts"] / 1000 - time.time()) < 60, path
    return body["data"]


assert data("/api/models/spot")["I:SPX"]["value"] > 0
gex = data("/api/models/gex/I:SPX")
assert list(gex["calls"]["expirations"]) == sorted(gex["calls"]["expirations"]), "ascending"
heatmap = data("/api/models/heatmap/I:SPX")
assert len(heatmap["tiles"]) > 100 and heatmap["dtes_available"]
assert data("/api/dealer-gravity/artifact")["meta"]["normalized_scale"] == 1000
assert data("/api/dealer-gravity/context")["symbol"] == "SPX"
levels = data("/api/v1/levels/SPX")
assert {level["kind"] for level in levels["levels"]} & {"call_wall", "put_wall"}, levels
then = data("/api/v1/levels/SPX", at=f"v{levels['version']}")
assert then["content"] == levels["content"], "the past is what was said"

first = session.get(url + "/api/v1/artifacts/SPX/levels", timeout=10)
again = session.get(
    url + "/api/v1/artifacts/SPX/levels", headers={"If-None-Match": first.headers["etag"]}, timeout=10
)
assert again.status_code in (200, 304), again.status_code
assert session.get(url + "/api/models/gex/SPX", timeout=10).status_code == 404

with session.get(url + "/sse/dealer-gravity", stream=True, timeout=20) as stream:
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert "content-encoding" not in stream.headers, "events are never packed"
    events = []
    for line in stream.iter_lines(chunk_size=1, decode_unicode=True):
        if line.startswith("event: "):
            events.append(line[7:])
        if events[-1:] == ["connected"]:
            break
assert events[-1] == "connected" and set(events[:-1]) == {"dealer_gravity_artifact_updated"}, events

bus = redis.Redis.from_url(redis_url, decode_responses=True)
pubsub = bus.pubsub(ignore_subscribe_messages=True)
pubsub.subscribe("dealer_gravity_updated")
until = time.time() + 20
told = None
while told is None and time.time() < until:
    told = pubsub.get_message(timeout=1)
assert told, "nothing was announced"
event = json.loads(told["data"])
artifact = json.loads(bus.get("dealer_gravity:artifact:spx"))
assert int(artifact["meta"]["artifact_version"][1:]) >= int(event["artifact_version"][1:])
assert bus.ttl("dealer_gravity:artifact:spx") == -1 and bus.ttl("massive:gex:model:I:SPX:calls") > 0
print("read: all as it should be")
