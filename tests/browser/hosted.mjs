// The hosted login page: alone, for a portal on the same site, and for one elsewhere. See lib.mjs.
import assert from "node:assert/strict";
import { Doorcode, hostedLogin } from "../../clients/js/dist/doorcode.js";
import {
  ACME, ADA, DEVICE, DOORCODE, another, askForCode, axe, calls, code, errorText, logIn, open, page, press, reflows, run, shoot, start, type, until,
} from "./lib.mjs";

const AUTH = "https://auth.acme.test";
const LOOKS = [
  ["light", { colorScheme: "light", viewport: { width: 900, height: 700 } }],
  ["dark", { colorScheme: "dark", viewport: { width: 900, height: 700 } }],
  ["phone", { colorScheme: "light", viewport: { width: 320, height: 640 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 }],
];
const started = await start({
  "auth.acme.test": { api: true },
  "portal.acme.test": { page: page(ACME, { script: AUTH }) },
  "portal.globex.test": { page: { script: "", html: "<!doctype html><title>Elsewhere</title><p>Back" } },
});
const visitor = (options) => started.browser.newContext({ ignoreHTTPSErrors: true, ...options });
const back = (query) => `${AUTH}/t/acme/login?${new URLSearchParams(query)}`;

/** Every URL that the page asks for, and every complaint of its policy. */
function watch(page) {
  const seen = { urls: [], complaints: [] };
  page.on("request", (request) => seen.urls.push(request.url()));
  page.on("console", (message) => /Security Policy|TrustedHTML/.test(message.text()) && seen.complaints.push(message.text()));
  return seen;
}

const checks = {
  async "alone: the tenant's name and colour, nothing from elsewhere, light, dark and phone"() {
    for (const [look, options] of LOOKS) {
      const context = await visitor({ locale: "de-DE", ...options });
      const page = await context.newPage();
      const { urls, complaints } = watch(page);
      await page.goto(`${AUTH}/t/acme/login`);
      await until(page, "ready");
      assert.equal(await page.textContent("h1"), "Acme & Söhne");
      assert.equal(await page.getAttribute("html", "lang"), "de");
      assert.equal(await page.locator("[part~=send]").evaluate((button) => getComputedStyle(button).backgroundColor), "rgb(122, 31, 162)");
      await axe(page, `hosted ${look}`);
      assert.ok(await reflows(page));
      await shoot(page, `hosted-1-${look}`);
      await askForCode(page);
      const right = await code(ADA);
      if (look === "light") {
        await type(page, another(right));
        await errorText(page);
      }
      await axe(page, `hosted code ${look}`);
      await shoot(page, `hosted-2-${look}`);
      await type(page, right);
      await until(page, "signed-in");
      await shoot(page, `hosted-3-${look}`);
      assert.deepEqual(urls.filter((url) => !url.startsWith(AUTH) && !url.startsWith("data:")), []);
      assert.deepEqual(complaints, []);
    }
  },

  async "same site: back with the state, logged in by cookie; and at once the next time"() {
    const context = await visitor();
    const url = back({ return_to: "https://portal.acme.test/callback", state: "s&1" });
    const page = await open(context, url);
    await askForCode(page);
    await type(page, await code(ADA));
    await page.waitForURL("https://portal.acme.test/callback?state=s%261");
    await until(page, "signed-in");
    await page.goto(url);
    await page.waitForURL("https://portal.acme.test/callback?state=s%261");
    await press(page, "sign-out");
    await until(page, "email");
    await page.goto(url);
    await until(page, "ready");
    await until(page, "email");
  },

  async "elsewhere: a code for the portal's server, no token in any URL, no session left behind"() {
    const context = await visitor();
    const page = await context.newPage();
    const { urls, complaints } = watch(page);
    const { url, state, verifier } = await hostedLogin(AUTH, "acme", "https://portal.globex.test/callback?from=login");
    await page.goto(url);
    await until(page, "ready");
    await askForCode(page);
    const right = await code(ADA);
    await type(page, another(right));
    await errorText(page);
    await page.reload();
    await until(page, "code");
    await type(page, right);
    await page.waitForURL("https://portal.globex.test/callback?*");
    const query = new URL(page.url()).searchParams;
    assert.deepEqual([query.get("from"), query.get("state")], ["login", state]);
    const portal = new Doorcode({ tenant: "acme", api: DOORCODE, cookies: false });
    await assert.rejects(portal.exchange(query.get("code"), "x".repeat(43)), { code: "invalid_code" });
    const { customerId } = await portal.exchange(query.get("code"), verifier);
    assert.match(customerId, /^[0-9a-f-]{36}$/);
    assert.match(await portal.accessToken(), /^eyJ/);
    await portal.logout();
    assert.deepEqual(urls.filter((url) => /eyJ|dcr_/.test(url) || url.includes(verifier)), []);
    assert.deepEqual(complaints, []);
    const cookies = await context.cookies(AUTH);
    assert.deepEqual(cookies.map(({ name }) => name.startsWith(DEVICE)), [true], "the device, no session");
  },

  async "a link to where nobody registered goes nowhere"() {
    const context = await visitor();
    const page = await context.newPage();
    const answer = await page.goto(back({ return_to: "https://evil.test/" }));
    assert.equal(answer.status(), 400);
    assert.match(await page.textContent(".problem"), /not registered/);
    assert.equal(await page.locator("doorcode-login").count(), 0);
    await axe(page, "refused");
    await shoot(page, "hosted-refused");
  },
};

await run(checks, started);
