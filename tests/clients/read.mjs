// What a Node client of the original reads: events by EventSource, documents and
// announcements by ioredis. Ends with 0 when all of it is as it should be.
import { EventSource } from "eventsource";
import { Redis } from "ioredis";

const [url, redisUrl] = process.argv.slice(2);
const fail = (why) => { console.error(why); process.exit(1); };
const timer = setTimeout(() => fail("nothing came in time"), 30_000);
const check = (fine, what) => { if (!fine) fail(`not as it should be: ${what}`); };

/** Resolves with the named events of a stream, in the order in which they came first. */
function follow(path, wanted) {
  return new Promise((resolve) => {
    const source = new EventSource(`${url}${path}`);
    const seen = new Map();
    for (const name of wanted) {
      source.addEventListener(name, (event) => {
        if (!seen.has(name)) seen.set(name, { data: JSON.parse(event.data), id: event.lastEventId });
        if (seen.size === wanted.length) { source.close(); resolve(seen); }
      });
    }
  });
}

const seen = await follow("/sse/all", ["spot", "gex", "heatmap", "connected", "heatmap_diff"]);
check([...seen.keys()].indexOf("connected") > [...seen.keys()].indexOf("spot"), "state first, then connected");
check(seen.get("spot").data["I:SPX"].value > 0, "spot");
check(seen.get("gex").data.symbol === "I:SPX", "gex");
check(Object.keys(seen.get("heatmap").data.tiles).length > 0, "tiles");
check(seen.get("heatmap_diff").data.version > seen.get("heatmap").data.version, "versions go up");
check(seen.get("heatmap").id.includes("heatmap/I:SPX="), `id: ${seen.get("heatmap").id}`);
check(seen.get("connected").data.channel === "all", "connected");

const listener = new Redis(redisUrl), reader = new Redis(redisUrl);
await listener.subscribe("dealer_gravity_updated", "massive:heatmap:diff:I:SPX");
const told = await new Promise((resolve) => {
  listener.on("message", (channel, text) => { if (channel === "dealer_gravity_updated") resolve(JSON.parse(text)); });
});
check(told.type === "dealer_gravity_artifact_updated" && told.symbol === "SPX", JSON.stringify(told));
const artifact = JSON.parse(await reader.get("dealer_gravity:artifact:spx"));
const number = (version) => Number(version.slice(1));
check(number(artifact.meta.artifact_version) >= number(told.artifact_version), "the artifact is there before its event");
check(artifact.profile.bins.every(Number.isInteger), "bins");
const model = JSON.parse(await reader.get("massive:heatmap:model:I:SPX:latest"));
check(model.symbol === "I:SPX" && typeof model.ts === "number", "the model");
listener.disconnect();
reader.disconnect();
clearTimeout(timer);
console.log("read: all as it should be");
