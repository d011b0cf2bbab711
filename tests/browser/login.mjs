// <doorcode-login> at work: what people type, what goes wrong, tabs, networks, the history. See lib.mjs.
//
// LIMITED is a second doorcode, with limits for clients.
import assert from "node:assert/strict";
import {
  ACME, ADA, DOORCODE, another, askForCode, code, count, errorText, focused, held, logIn, lost, open, page,
  pasteCode, press, run, shadow, shoot, start, status, text, type, until, wrong,
} from "./lib.mjs";

const { LIMITED } = process.env;

const hosts = {
  "own.acme.test": { api: true, page: page(ACME) },
  "focus.acme.test": { api: true, page: page(`${ACME} autofocus`) },
  "limited.acme.test": { api: LIMITED, page: page(ACME) },
  "bare.acme.test": { api: true, page: page("") },
  "plain.acme.test": { page: { script: "", html: "<title>Another page</title>" } },
};
const started = await start(hosts);
const visitor = (options) => started.browser.newContext({ ignoreHTTPSErrors: true, ...options });
const visit = async (host = "own", options) => open(await visitor(options), `https://${host}.acme.test`);
/** The countdown is over: the browser's clock goes on, the server's stands still in this test. */
const later = (page, ms) => page.clock.fastForward(ms);

const checks = {
  async "H15 one field for the code: one-time-code, digits first, pasted as people paste"() {
    const page = await visit("focus");
    const field = page.locator("#code");
    const attributes = ["autocomplete", "inputmode", "maxlength"].map((name) => field.getAttribute(name));
    assert.deepEqual(await Promise.all(attributes), ["one-time-code", "numeric", null]);
    for (const id of ["email", "code"]) assert.equal(await page.locator(`label[for=${id}]`).count(), 1);
    assert.equal(await focused(page), "email", "autofocus");
    await askForCode(page);
    assert.equal(await focused(page), "code", "the focus goes along");
    const right = await code(ADA);
    for (const pasted of [`${right.slice(0, 3)} ${right.slice(3)}`, `Acme: ${right} is your code`, right.replace(/./g, (digit) => String.fromCharCode(0xff10 + Number(digit)))]) {
      await page.fill("#code", pasted);
      assert.equal(await page.inputValue("#code"), right, pasted);
    }
    assert.match(await wrong(page, right), /wrong or has expired/);
    assert.equal(await focused(page), "code");
    await press(page, "letters");
    assert.equal(await field.getAttribute("inputmode"), "text");
    await pasteCode(page, right);
    await press(page, "verify");
    await until(page, "signed-in");
    assert.equal(await focused(page), "h2", "and to the title at the end");
  },

  async "seen before: no tenant is said at once, on the page"() {
    const page = await (await visitor()).newPage();
    await page.goto("https://bare.acme.test");
    assert.match(await errorText(page), /attribute "tenant" is missing/);
  },

  async "seen before: foo@bar is told what is wrong with it"() {
    const page = await visit();
    for (const [typed, said] of [["", /Enter your email/], ["foo@bar", /not a complete email address/], ["foo", /not a complete email address/]]) {
      await page.fill("#email", typed);
      await press(page, "send");
      assert.match(await errorText(page), said);
      assert.equal(await page.getAttribute("#email", "aria-invalid"), "true");
      assert.equal(await focused(page), "email");
      assert.equal(await page.inputValue("#email"), typed, "what was typed stays");
    }
    await askForCode(page);
  },

  async "seen before: during the cool-down nothing claims that a code is on its way"() {
    const context = await visitor();
    const page = await context.newPage();
    await page.clock.install();
    await page.goto("https://own.acme.test");
    await until(page, "ready");
    await askForCode(page);
    const asked = count("login");
    const resend = page.locator("[part~=resend]");
    assert.match(await resend.innerText(), /^Send again in \d+ seconds$/);
    assert.equal(await resend.getAttribute("aria-disabled"), "true");
    await resend.click({ force: true });
    await press(page, "other");
    await askForCode(page);
    assert.equal(count("login"), asked, "no call that the server would answer with nothing");
    assert.doesNotMatch(await status(page), /on its way|sent/);
    await page.reload();
    await until(page, "ready");
    assert.match(await resend.innerText(), /^Send again in \d+ seconds$/, "nor after a reload");
    await later(page, 61_000);
    await page.waitForFunction(() => document.querySelector("doorcode-login").shadowRoot.querySelector("[part~=resend]").ariaDisabled === null);
    await code(ADA);
    await press(page, "resend");
    await type(page, await code(ADA));
    await until(page, "signed-in");
  },

  async "seen before: a tab knows when another logged in or out"() {
    const context = await visitor();
    const [one, two] = [await open(context, "https://own.acme.test"), await open(context, "https://own.acme.test")];
    await logIn(one);
    await until(two, "signed-in");
    await press(two, "sign-out");
    await until(one, "email");
    assert.equal(await status(one), "You are signed out.");
  },

  async "seen before: a reload in the code step keeps the address"() {
    const page = await visit();
    await askForCode(page);
    await page.reload();
    await until(page, "code");
    assert.match(await status(page), /ada@example\.com/);
    await type(page, await code(ADA));
    await until(page, "signed-in");
    await page.reload();
    await until(page, "signed-in");
  },

  async "an expired code is not sent, and the next one is"() {
    const context = await visitor();
    const page = await context.newPage();
    await page.clock.install();
    await page.goto("https://own.acme.test");
    await until(page, "ready");
    await askForCode(page);
    const old = await code(ADA);
    await later(page, 601_000);
    const before = count("verify");
    await type(page, old);
    assert.match(await errorText(page), /has expired/);
    assert.equal(count("verify"), before);
    await press(page, "resend");
    await type(page, await code(ADA));
    await until(page, "signed-in");
  },

  async "five wrong codes spend one, and the next mail leaves at once"() {
    const page = await visit();
    await askForCode(page, "grace@example.com");
    const right = await code("grace@example.com");
    for (let tries = 1; tries < 5; tries++) assert.match(await wrong(page, right), /wrong or has expired/);
    await type(page, another(right));
    await page.waitForFunction(() => document.querySelector("doorcode-login").shadowRoot.querySelector("#code-error").textContent.includes("five wrong tries"));
    const before = count("verify");
    await type(page, right);
    assert.equal(count("verify"), before, "a spent code is not tried");
    await press(page, "resend");
    await type(page, await code("grace@example.com"));
    await until(page, "signed-in");
  },

  async "a code with letters, typed small and with a hyphen"() {
    const email = "linus@example.com";
    // Strangers spend the digits' budget: from then on strangers get letters.
    const post = (verb, body, network) => fetch(`${DOORCODE}/v1/customer-auth/${verb}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Forwarded-For": network },
      body: JSON.stringify({ email, tenant_slug: "acme", ...body }),
    });
    let lettered;
    for (let round = 0; round < 6 && !lettered; round++) {
      await post("login", {}, `198.18.${round}.1`);
      const mailed = await code(email);
      if (/[A-Z]/.test(mailed)) lettered = mailed;
      for (let guess = 0; guess < 5; guess++) await post("verify", { code: another(mailed) }, `198.18.${round}.1`);
    }
    const page = await visit();
    await askForCode(page, email);
    const right = await code(email);
    assert.match(right, /[A-Z]/);
    await page.fill("#code", `${right.slice(0, 3)}-${right.slice(3)}`.toLowerCase());
    assert.equal(await page.inputValue("#code"), right);
    assert.equal(await page.getAttribute("#code", "inputmode"), "text");
    await page.press("#code", "Enter");
    await until(page, "signed-in");
  },

  async "429: says how long, counts down, and goes on by itself"() {
    const context = await visitor();
    const page = await context.newPage();
    await page.clock.install();
    await page.goto("https://limited.acme.test");
    await until(page, "ready");
    while ((await fetch(`${LIMITED}/v1/customer-auth/login`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ email: ADA, tenant_slug: "acme" }),
    })).ok);
    await page.fill("#email", ADA);
    await press(page, "send");
    assert.match(await errorText(page), /^Too many tries from your network\. Try again in \d+ \w+\.$/);
    const send = page.locator("[part~=send]");
    assert.match(await send.innerText(), /^Try again in/);
    const before = count("login");
    await send.click({ force: true });
    await page.press("#email", "Enter");
    assert.equal(count("login"), before, "no call before its time");
    await shoot(page, "limited");
    await later(page, 3_600_000);
    await page.waitForFunction(() => document.querySelector("doorcode-login").shadowRoot.querySelector("[part~=send]").textContent === "Email me a code");
    assert.equal(await page.inputValue("#email"), ADA);
  },

  async "offline, and back"() {
    const context = await visitor();
    const page = await open(context, "https://own.acme.test");
    await page.fill("#email", ADA);
    await context.setOffline(true);
    await press(page, "send");
    assert.match(await errorText(page), /cannot be reached/);
    await context.setOffline(false);
    await page.waitForFunction(() => !document.querySelector("doorcode-login").shadowRoot.querySelector("#email-error").textContent);
    await press(page, "send");
    await until(page, "code");
    await type(page, await code(ADA));
    await until(page, "signed-in");
  },

  async "a slow network: one call however often one clicks, and no motion where none is wanted"() {
    const page = await visit("own", { reducedMotion: "reduce" });
    let release;
    held.login = new Promise((done) => { release = done; });
    const before = count("login");
    await page.fill("#email", ADA);
    await press(page, "send");
    await until(page, "busy");
    await page.press("#email", "Enter");
    await page.locator("[part~=send]").click({ force: true });
    assert.equal(await page.getAttribute("[part~=send]", "aria-busy"), "true");
    assert.equal(await shadow(page, (root) => getComputedStyle(root.querySelector("[part~=send]"), "::after").animationName), "none");
    await shoot(page, "busy");
    release();
    delete held.login;
    await until(page, "code");
    assert.equal(count("login") - before, 1);
    await code(ADA);
  },

  async "a lost answer: /login is asked again, a used code is explained"() {
    const page = await visit();
    lost.login = 1;
    await askForCode(page);
    const right = await code(ADA);
    lost.verify = 1;
    await type(page, right);
    assert.match(await errorText(page), /connection broke while you were signing in/);
    await press(page, "resend");
    let next;
    while ((next = await code(ADA)) === right); // two tries may have been two mails
    await type(page, next);
    await until(page, "signed-in");
  },

  async "bfcache: a page from the history shows what is so now"() {
    const context = await visitor();
    const page = await open(context, "https://own.acme.test");
    await logIn(page);
    await page.evaluate(() => { window.before = true; });
    await page.goto("https://plain.acme.test");
    const other = await open(context, "https://own.acme.test");
    await press(other, "sign-out");
    await until(other, "email");
    await page.goBack({ waitUntil: "commit" });
    await until(page, "email");
    assert.ok(await page.evaluate(() => window.before), "it came from the bfcache");
  },

  async "of a hundred clients in three tabs one renews"() {
    const context = await visitor();
    const tabs = [];
    for (let tab = 0; tab < 3; tab++) tabs.push(await open(context, "https://own.acme.test"));
    await logIn(tabs[0]);
    const before = count("refresh");
    const renew = (tab) => tab.evaluate(async () => {
      const { Doorcode } = await import("/doorcode-login.js");
      const clients = Array.from({ length: 34 }, () => new Doorcode({ tenant: "acme" }));
      return (await Promise.all(clients.map((client) => client.refresh()))).every(Boolean);
    });
    let release;
    held.refresh = new Promise((done) => { release = done; });
    const all = Promise.all(tabs.map(renew));
    await new Promise((done) => setTimeout(done, 1000));
    release();
    delete held.refresh;
    assert.deepEqual(await all, [true, true, true]);
    assert.equal(count("refresh") - before, 1);
  },

  async "renews ahead of the end, and says when the session has ended"() {
    const context = await visitor();
    const page = await context.newPage();
    await page.clock.install();
    await page.goto("https://own.acme.test");
    await until(page, "ready");
    await logIn(page);
    const before = count("refresh");
    await later(page, 56 * 60_000);
    await page.waitForFunction(() => JSON.parse(localStorage.getItem("doorcode::acme")).expiresAt > Date.now() + 3_000_000, undefined, { polling: 20 });
    assert.equal(count("refresh") - before, 1);
    await context.clearCookies();
    await later(page, 56 * 60_000);
    await until(page, "email");
    assert.equal(await status(page), "Your session has ended. Please sign in again.");
  },
};

await run(checks, started);
