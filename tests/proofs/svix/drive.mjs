// Calls every offered operation of Svix's JavaScript client, of either major.
//
// node drive.mjs PACKAGE URL TOKEN RECEIVER NAME: the folder of the package, the server, its token,
// a receiver's URL, and a name that nothing on the server has. Prints one JSON object; exits 1 when
// an answer is not as expected.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, serverUrl, token, receiver, name] = process.argv.slice(2);
const require = createRequire(`${folder}/`);
const { version, main } = require(`${folder}/package.json`);
const { Svix } = await import(pathToFileURL(`${folder}/${main}`));
const svix = new Svix(token, { serverUrl });
const called = new Set();

// Calls group.method; of several spellings, a|b, the first that the client has.
function call(operation, ...given) {
  const [group, methods] = operation.split(".");
  const spellings = methods.split("|");
  called.add(`${group}.${spellings[0]}`);
  const method = spellings.find((one) => typeof svix[group][one] === "function");
  return svix[group][method](...given);
}

async function refused(status, promise) {
  await assert.rejects(promise, (error) => error.code === status);
}

// The clients of the first major call an endpoint's event types filterTypes.
const oldNames = typeof svix.application.update === "function";
const types = (given, list) => ({ ...given, [oldNames ? "filterTypes" : "eventTypes"]: list });
const typesOf = (endpoint) => (oldNames ? endpoint.filterTypes : endpoint.eventTypes);
const flag = oldNames ? { featureFlag: "beta" } : { featureFlags: ["beta"] };

await call("health.get");

// Applications.
const made = await call("application.create", { name: "n", uid: name, throttleRate: 3 });
const app = made.id;
assert.equal(made.throttleRate, 3);
assert.equal((await call("application.getOrCreate", { name: "o", uid: name })).id, app);
assert.equal((await call("application.get", name)).id, app);
const put = await call("application.update|upsert", name, { name: "m", uid: name });
assert.equal(put.name, "m");
assert.equal((await call("application.patch", name, { name: "p" })).name, "p");
assert.ok((await call("application.list")).data.length);
await refused(404, svix.application.get("missing"));
await refused(422, svix.application.create({ name: "n", uid: "no blanks" }));

// Event types.
const schemas = { 1: { examples: [{ x: 1 }] } };
const eventType = { name, description: "d", schemas, ...flag };
const type = await call("eventType.create", eventType);
assert.ok([type.featureFlag, ...(type.featureFlags ?? [])].includes("beta"));
assert.deepEqual((await call("eventType.get", name)).schemas, schemas);
await call("eventType.update|upsert", name, { description: "e", schemas, ...flag });
assert.equal((await call("eventType.patch", name, { description: "f" })).description, "f");
assert.ok((await call("eventType.list")).data.length);

// Endpoints.
const wanted = types({ url: receiver, channels: ["c"], uid: "here" }, [name]);
const endpoint = await call("endpoint.create", app, wanted);
assert.deepEqual(typesOf(endpoint), [name]);
assert.equal((await call("endpoint.get", app, "here")).id, endpoint.id);
await call("endpoint.update|upsert", app, "here", types({ url: receiver, uid: "here" }, [name]));
const patched = await call("endpoint.patch", app, "here", types({}, [name, "other"]));
assert.deepEqual(typesOf(patched).sort(), [name, "other"].sort());
const silent = await svix.endpoint.create(app, { url: "http://127.0.0.1:1/" });
const listed = (await call("endpoint.list", app)).data.map((one) => one.id);
assert.deepEqual(listed, [silent.id, endpoint.id]);
const headers = { "x-one": "1", authorization: "a" };
await call("endpoint.updateHeaders|setHeaders", app, "here", { headers });
const less = { headers: { "x-two": "2" }, deleteHeaders: ["x-one"] };
await call("endpoint.patchHeaders", app, "here", less);
const shown = await call("endpoint.getHeaders", app, "here");
assert.deepEqual(shown.headers, { "x-two": "2" });
assert.deepEqual(shown.sensitive, ["authorization"]);
const { key } = await call("endpoint.getSecret", app, "here");
await call("endpoint.rotateSecret", app, "here", {});
assert.notEqual((await svix.endpoint.getSecret(app, "here")).key, key);

// Messages and attempts.
const sent = await call("message.create", app, { eventType: name, payload: { x: 1 } });
assert.equal((await call("message.get", app, sent.id)).eventType, name);
assert.equal((await call("message.list", app)).data[0].id, sent.id);
const found = new Map();
for (const deadline = Date.now() + 20_000; found.size < 2; ) {
  assert.ok(Date.now() < deadline, "both endpoints are attempted within 20 s");
  const page = await call("messageAttempt.listByMsg", app, sent.id, { withContent: true });
  for (const one of page.data) found.set(one.endpointId, one);
  await new Promise((resolve) => setTimeout(resolve, 50));
}
assert.equal(found.get(endpoint.id).responseStatusCode, 204);
assert.equal(found.get(silent.id).responseStatusCode, 0);
assert.match(found.get(silent.id).response, /^connection refused/);
const attempt = found.get(endpoint.id).id;
assert.equal((await call("messageAttempt.get", app, sent.id, attempt)).msgId, sent.id);
const byEndpoint = await call("messageAttempt.listByEndpoint", app, endpoint.id);
assert.equal(byEndpoint.data[0].id, attempt);
const messages = await call("messageAttempt.listAttemptedMessages", app, endpoint.id);
assert.equal(messages.data[0].id, sent.id);
const places = await call("messageAttempt.listAttemptedDestinations", app, sent.id);
assert.equal(places.data.length, 2);
await call("messageAttempt.expungeContent", app, sent.id, attempt);
assert.equal((await svix.messageAttempt.get(app, sent.id, attempt)).response, "EXPUNGED");
await call("messageAttempt.resend", app, sent.id, endpoint.id);
await call("endpoint.sendExample", app, endpoint.id, { eventType: name });
const since = new Date(Date.now() - 3_600_000);
assert.ok((await call("endpoint.recover", app, silent.id, { since })).id);
assert.ok((await call("endpoint.getStats", app, endpoint.id)).success >= 1);
await call("message.expungeContent", app, sent.id);
await refused(400, svix.messageAttempt.resend(app, sent.id, endpoint.id));

await call("endpoint.delete", app, endpoint.id);
await call("eventType.delete", name);
await call("application.delete", app);
console.log(JSON.stringify({ version, operations: called.size }));
