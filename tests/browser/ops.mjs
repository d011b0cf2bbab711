// The live page of the ops listener, over a doorcode that works: see lib.mjs.
import assert from "node:assert/strict";
import { DOORCODE, axe, reflows, run, shoot, start } from "./lib.mjs";

const { OPS } = process.env;
const started = await start({});
const LOOKS = [["light", "light", 1280], ["dark", "dark", 1280], ["phone", "light", 400], ["phone-dark", "dark", 400]];
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const json = async (path) => (await fetch(OPS + path)).json();
const fault = (actor, fault, ms = 0) =>
  fetch(`${OPS}/v1/admin/faults`, { method: "POST", headers: { "content-type": "application/json", "sec-fetch-site": "same-origin", authorization: "Bearer any" }, body: JSON.stringify({ actor, fault, ms }) });

/** Calls of all kinds until `over`: two tenants, strangers and customers, guesses, one session. */
const load = { over: false, answers: {} };
async function caller(n) {
  const call = async (verb, body) => {
    const answer = await fetch(`${DOORCODE}/v1/customer-auth/${verb}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    await answer.text();
    load.answers[answer.status] = (load.answers[answer.status] ?? 0) + 1;
  };
  for (let i = 0; !load.over; i++) {
    const email = i % 50 ? `n${n}-${i}@example.com` : "ada@example.com";
    await call("login", { email, tenant_slug: n % 2 ? "acme" : "globex" });
    await sleep(50);
    if (i % 3 === 0) await call("token", { email, tenant_slug: "acme", code: "000000" });
  }
}
[0, 1, 2, 3].forEach(caller);

async function open(look) {
  const [, colorScheme, width] = LOOKS.find(([name]) => name === look);
  const context = await started.browser.newContext({ colorScheme, viewport: { width, height: 900 } });
  const page = await context.newPage();
  page.complaints = [];
  page.on("console", (message) => message.type() === "error" && page.complaints.push(message.text()));
  page.on("pageerror", (error) => page.complaints.push(error.stack));
  await page.goto(OPS);
  await page.waitForSelector("#tree details");
  await page.waitForSelector("#sparks li");
  return page;
}

const state = (page) => page.locator("#state").innerText();
const branch = (page, kind) => page.locator("details", { has: page.locator(`:scope > summary .name:text-is("${kind}")`) }).last();

/** Crashes one tenant's issuer whenever it lives, until told to end. */
async function crashLoop(tenant, times) {
  let crashes = 0;
  const end = Date.now() + 60_000;
  while (crashes < times() && Date.now() < end) {
    if ((await fault(`issuer/${tenant}`, "panic")).ok) crashes++;
    else await sleep(20);
  }
  return crashes;
}

const tenantOf = async () => (await json("/actors/rows?kind=issuer&limit=100")).rows.find((row) => row.slug && row.state !== "down").slug;

const checks = {
  async "the tree, its numbers and its history, as /actors has them"() {
    const page = await open("light");
    await sleep(3000);
    const { actors } = await json("/actors");
    const shown = await page.locator("#tree summary .name").allTextContents();
    assert.deepEqual(shown.map((name) => name.trim()).sort(), actors.map((kind) => kind.kind).sort());
    assert.equal(await branch(page, "tenants").locator("details summary .name").textContent(), "issuer", "below its supervisor");
    assert.equal(await page.locator("#sparks li").count(), 10);
    const label = await page.locator("#sparks svg").first().getAttribute("aria-label");
    assert.match(label, /^logins over \d+ seconds: now [\d.]+, at most [1-9]/);
    assert.equal(await state(page), "all answer");
    const { points } = await json("/history");
    assert.ok(points.length > 3 && points.every(([at], n) => n === 0 || at >= points[n - 1][0]));
    assert.deepEqual(page.complaints, []);
  },

  async "by keyboard down to a single actor, and what is open stays open"() {
    const page = await open("light");
    for (const kind of ["tenants", "issuer"]) {
      await branch(page, kind).locator(":scope > summary").focus();
      await page.keyboard.press("Enter");
    }
    const row = branch(page, "issuer").locator(".actors li").first();
    await row.waitFor();
    assert.match(await row.innerText(), /issuer\/(acme|globex)/);
    await sleep(2500);
    assert.ok(await row.isVisible());
    assert.ok(await page.evaluate(() => document.activeElement.localName === "summary"), "the focus stays");
  },

  async "a crash loop shows, in words, counts and the failures"() {
    const page = await open("light");
    const tenant = await tenantOf();
    let enough = Infinity;
    const began = Date.now();
    const looping = crashLoop(tenant, () => enough);
    await page.waitForFunction(() => document.querySelector("#state").textContent.includes("issuer"), undefined, { polling: 20 });
    const took = Date.now() - began;
    const metrics = await (await fetch(`${OPS}/metrics`)).text();
    const counted = Number(/doorcode_actor_restarts_total\{kind="issuer",reason="panic"\} (\d+)/.exec(metrics)[1]);
    // within two seconds where nothing else runs; a busy machine draws late
    console.log(`        told after ${took} ms, ${counted} restarts in /metrics by then`);
    assert.ok(counted > 0);
    for (const kind of ["tenants", "issuer"]) await branch(page, kind).evaluate((node) => (node.open = true));
    await sleep(2500);
    assert.match(await page.locator("#failures").innerText(), new RegExp(`issuer/${tenant} panic`));
    await shoot(page, "ops-loop-light");
    for (const [look] of LOOKS.slice(1)) {
      const other = await open(look);
      for (const kind of ["tenants", "issuer", "ledger.login"]) await branch(other, kind).evaluate((node) => (node.open = true));
      await sleep(2000);
      assert.ok(await reflows(other), look);
      await axe(other, `loop ${look}`);
      await shoot(other, `ops-loop-${look}`);
    }
    enough = 0;
    await looping;
    assert.deepEqual(page.complaints, []);
  },

  async "buttons make an actor fail, and the database go away and come back"() {
    const page = await open("light");
    const restarts = async () => (await json("/actors")).actors.find((kind) => kind.kind === "janitor").restarts.reduce((all, [, n]) => all + n, 0);
    const before = await restarts();
    await branch(page, "janitor").locator(":scope > summary").click();
    const crash = branch(page, "janitor").getByRole("button", { name: /^crash janitor/ });
    await crash.focus();
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelector("#told").textContent.includes("panic"));
    await page.waitForFunction(() => document.querySelector("#failures").textContent.includes("janitor"));
    assert.equal(await restarts(), before + 1);
    await page.getByRole("button", { name: "drop the database" }).click();
    await page.waitForFunction(() => document.querySelector("#state").textContent.includes("database"), undefined, { timeout: 20000 });
    await page.waitForFunction(() => document.querySelector("#state").textContent === "all answer", undefined, { timeout: 60000 });
    assert.ok(load.answers[503] > 0, "callers were told");
    assert.deepEqual(page.complaints, []);
  },

  async "light, dark, and no width scrolls sideways"() {
    for (const [look] of LOOKS) {
      const page = await open(look);
      await sleep(3000);
      await axe(page, look);
      assert.ok(await reflows(page), look);
      await shoot(page, `ops-load-${look}`);
    }
    const page = await open("light");
    await page.evaluate(() => document.querySelectorAll("details").forEach((one) => (one.open = true)));
    await sleep(2000);
    for (const width of [320, 400, 480, 640, 768, 900, 960, 1024, 1280, 1920]) {
      await page.setViewportSize({ width, height: 800 });
      const wide = await page.evaluate(() => [...document.querySelectorAll("main *")].filter((one) => one.getBoundingClientRect().right > innerWidth).map((one) => `${one.localName}.${one.className} ${one.textContent.slice(0, 60)}`));
      assert.ok(await reflows(page), `${width} px: ${wide}`);
      const cut = await page.evaluate(() => [...document.querySelectorAll("summary > *, .actors li > *, dd, dt, .sparks b, .sparks small")]
        .filter((one) => one.checkVisibility() && one.getBoundingClientRect().right > innerWidth).map((one) => one.textContent));
      assert.deepEqual(cut, [], `cut off at ${width} px`);
    }
  },

  async "a replica that goes is said to be gone"() {
    const page = await open("light");
    await page.context().setOffline(true);
    await page.waitForFunction(() => document.querySelector("#state").textContent.includes("does not answer"), undefined, { timeout: 60000 });
    await page.context().setOffline(false);
    await page.waitForFunction(() => document.querySelector("#state").textContent === "all answer", undefined, { timeout: 20000 });
  },
};

await run(checks, started);
