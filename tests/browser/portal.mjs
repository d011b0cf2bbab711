// examples/portal, started as its readers start it, and the lines that docs/PORTALS.md begins with. See lib.mjs.
//
// PORT is the portal's, PAGE_PORT that of the page with the lines; both are localhost, as doorcode is.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs/promises";
import http from "node:http";
import { ADA, askForCode, axe, code, press, run, shoot, start, text, type, until } from "./lib.mjs";

const { DOORCODE, PORT, PAGE_PORT } = process.env;
const root = new URL("../../", import.meta.url).pathname;
const PORTAL = `http://localhost:${PORT}`;
const started = await start({});

// A group of its own: npm does not end what it started.
const npm = spawn("npm", ["start", "--prefix", `${root}examples/portal`], { detached: true, stdio: ["ignore", "pipe", "inherit"] });
process.on("exit", () => process.kill(-npm.pid));
await new Promise((ready, failed) => {
  npm.stdout.on("data", (said) => String(said).includes("ready: ") && ready());
  npm.on("exit", (status) => failed(new Error(`the portal ended with ${status}`)));
});

async function logIn(page) {
  await askForCode(page);
  await type(page, await code(ADA));
}

const customer = (page) => page.locator("#customer").innerText();

const checks = {
  async "by the form: a page behind the login, and after the logout no longer"() {
    const page = await (await started.browser.newContext()).newPage();
    assert.equal((await page.goto(`${PORTAL}/account`)).url(), `${PORTAL}/`, "nobody gets in");
    await until(page, "ready");
    await axe(page, "the portal");
    await logIn(page);
    await page.waitForURL(`${PORTAL}/account`);
    const id = await customer(page);
    assert.match(id, /^[0-9a-f-]{36}$/);
    await until(page, "signed-in");
    await shoot(page, "portal-account");
    // An hour later the access cookie is gone, and the login page renews it by itself.
    await page.context().clearCookies({ name: /access/ });
    await page.goto(`${PORTAL}/account`);
    await page.waitForURL(`${PORTAL}/account`);
    assert.equal(await customer(page), id);
    await until(page, "signed-in");
    await press(page, "sign-out");
    await until(page, "email");
    assert.equal((await page.goto(`${PORTAL}/account`)).url(), `${PORTAL}/`);
  },

  async "by the hosted page: the server keeps the tokens; a stranger's link is not taken"() {
    const page = await (await started.browser.newContext()).newPage();
    await page.goto(`${PORTAL}/login`);
    assert.match(page.url(), new RegExp(`^${DOORCODE}/t/acme/login\\?`));
    await until(page, "ready");
    await logIn(page);
    await page.waitForURL(`${PORTAL}/account`);
    assert.match(await customer(page), /^[0-9a-f-]{36}$/);
    await page.click("text=Sign out");
    await page.waitForURL(`${PORTAL}/`);
    const begun = await fetch(`${PORTAL}/login`, { redirect: "manual" });
    const state = new URL(begun.headers.get("location")).searchParams.get("state");
    const answer = await page.goto(`${PORTAL}/callback?code=dch_x&state=${state}`);
    assert.equal(answer.status(), 400, "begun in another browser");
  },

  async "a forged token is nobody's"() {
    const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const forged = `${part({ alg: "none", typ: "at+jwt" })}.${part({ sub: "x", exp: 9e9 })}.`;
    const answer = await fetch(`${PORTAL}/account`, { redirect: "manual", headers: { Cookie: `__Host-portal_access_0123456789=${forged}` } });
    assert.equal(answer.status, 303);
  },

  async "the six lines that docs/PORTALS.md begins with"() {
    const docs = await fs.readFile(`${root}docs/PORTALS.md`, "utf8");
    const lines = /```html\n([^]*?)```/.exec(docs)[1];
    assert.equal(lines.trim().split("\n").length, 6);
    const html = lines.replace("http://localhost:8080", DOORCODE).replace('"demo"', '"acme"');
    const server = http.createServer((_, response) => response.setHeader("Content-Type", "text/html").end(html));
    await new Promise((done) => server.listen(PAGE_PORT, "localhost", done));
    const page = await (await started.browser.newContext()).newPage();
    const said = [];
    page.on("console", (message) => said.push(message.text()));
    await page.goto(`http://localhost:${PAGE_PORT}`);
    await until(page, "ready");
    await logIn(page);
    await until(page, "signed-in");
    assert.ok(said.some((line) => /^hello [0-9a-f-]{36}$/.test(line)), said.join("\n"));
    await page.reload();
    await until(page, "signed-in");
    assert.equal(await text(page, "sign-out"), "Sign out");
    server.close();
  },
};

await run(checks, started);
