// What a page can do to a host on this machine, from Chromium.
//
// node access_browser.js PLAYWRIGHT_CORE CHROMIUM HOST_URL PAGE_URL
// node access_browser.js PLAYWRIGHT_CORE CHROMIUM HOST_URL: a page of the host itself
// prints one JSON object: attempt → what the page learned of it.
"use strict";

const [, , playwright, executablePath, host, page] = process.argv;
const { chromium } = require(playwright);

// Runs in the page: every way in which it can send a request to the host, one after the other.
async function attack(host) {
  const seen = {};
  const body = JSON.stringify({ name: "evil", uid: "evil" });
  const fetched = async (name, path, options) => {
    try {
      const answer = await fetch(host + path, options);
      seen[name] = `${answer.type} ${answer.status}`;
    } catch (error) {
      seen[name] = "failed";
    }
  };
  const json = { "content-type": "application/json" };
  for (const mode of ["no-cors", "cors", "same-origin"]) {
    await fetched(`${mode} GET`, "/api/v1/app", { mode });
    await fetched(`${mode} text`, "/api/v1/app", { mode, method: "POST", body });
    await fetched(`${mode} credentials`, "/bare", { mode, credentials: "include" });
    await fetched(`${mode} empty`, "/bare", { mode, method: "POST" });
    await fetched(`${mode} JSON`, "/api/v1/app", { mode, method: "POST", body, headers: json });
    const blob = new Blob([body], { type: "text/plain" });
    await fetched(`${mode} blob`, "/api/v1/app", { mode, method: "POST", body: blob });
    const form = new URLSearchParams({ [body]: "" });
    await fetched(`${mode} form`, "/api/v1/app", { mode, method: "POST", body: form });
  }
  navigator.sendBeacon(`${host}/api/v1/app`, body);
  const loaded = (tag, attributes) =>
    new Promise((done) => {
      const element = Object.assign(document.createElement(tag), attributes);
      element.onload = element.onerror = () => done(element);
      document.body.append(element);
    });
  await loaded("img", { src: `${host}/bare` });
  await loaded("script", { src: `${host}/bare` });
  await loaded("iframe", { src: `${host}/bare` });
  for (const enctype of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]) {
    const name = `form-${enctype.length}`;
    const landed = loaded("iframe", { name, src: "about:blank" });
    const frame = await landed;
    const form = Object.assign(document.createElement("form"), {
      method: "post", enctype, target: name, action: `${host}/api/v1/app`,
    });
    // As text/plain this is the JSON {"name": "evil", "uid": "evil=..."}.
    form.append(Object.assign(document.createElement("input"), {
      name: '{"name":"evil","uid":"evil', value: '"}',
    }));
    document.body.append(form);
    const answered = new Promise((done) => { frame.onload = done; });
    form.submit();
    await answered;
  }
  await new Promise((done) => {
    const socket = new WebSocket(`${host.replace("http", "ws")}/bare`);
    socket.onopen = () => { seen.websocket = "open"; done(); };
    socket.onerror = () => { seen.websocket = "failed"; done(); };
  });
  await new Promise((done) => {
    const events = new EventSource(`${host}/bare`);
    events.onerror = () => { events.close(); done(); };
  });
  return seen;
}

// Runs in a page of the host itself: what a person's own page can do.
async function own() {
  const answer = await fetch("/bare", { method: "POST" });
  return answer.status;
}

async function main() {
  const port = new URL(host).port;
  const browser = await chromium.launch({
    executablePath,
    args: ["--no-sandbox", "--host-resolver-rules=MAP rebound.example 127.0.0.1"],
  });
  const result = { version: browser.version() };
  if (!page) {
    const tab = await browser.newPage();
    await tab.goto(`${host}/docs`);
    result.own = await tab.evaluate(own);
    await browser.close();
    console.log(JSON.stringify(result));
    return;
  }
  const at = async (name, url, work) => {
    const context = await browser.newContext();
    const tab = await context.newPage();
    await work(tab, url);
    result[name] = await tab.evaluate(attack, name === "rebound name" ? url : host);
    await context.close();
  };
  await at("page on another port", page, (tab, url) => tab.goto(url));
  // The page came from elsewhere before its name was bound to 127.0.0.1.
  await at("rebound name", `http://rebound.example:${port}`, async (tab, url) => {
    const html = "<!doctype html><title>page</title><body>";
    await tab.route(`${url}/`, (route) => route.fulfill({ contentType: "text/html", body: html }));
    await tab.goto(`${url}/`);
  });
  await at("page without origin", `data:text/html,<title>page</title><body>`, (tab, url) => tab.goto(url));
  await browser.close();
  console.log(JSON.stringify(result));
}

main().catch((error) => { console.error(error); process.exit(1); });
