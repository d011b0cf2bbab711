// What a portal needs of doorcode, with cookies (same origin, same site) or without (cross site). See docs/PORTALS.md.

// Renew when that much of an access token's life is left.
const RENEW_BEFORE_MS = 5 * 60_000;

export class Portal {
  #access = null; // without cookies: in memory only
  #timer = 0;

  // api: "" on the same origin, else "https://auth.acme.com". cookies: false on another site than doorcode's.
  constructor({ api, tenant, cookies }) {
    Object.assign(this, { api, tenant, cookies });
    this.onend = () => {};
  }

  // Says the same whether or not the address is a customer's.
  async mailCode(email) {
    await this.#post("login", { email, tenant_slug: this.tenant });
  }

  // null: wrong or expired.
  async logIn(email, code) {
    const verb = this.cookies ? "verify" : "token";
    const tokens = await this.#post(verb, { code: tidy(code), email, tenant_slug: this.tenant });
    return tokens && this.#begin(tokens);
  }

  // Who is logged in here, after a silent renewal if need be; null: nobody.
  async resume() {
    return (await this.#session()) ?? ((await this.renew()) ? this.#session() : null);
  }

  // One tab at a time: tabs share their cookies, so one renewal serves all that waited for it.
  async renew() {
    const asked = Date.now();
    return this.#alone(async () => {
      if (this.cookies && Number(localStorage.getItem(this.#key)) >= asked) {
        this.#plan((await this.#session())?.expires_at * 1000);
        return true;
      }
      const tokens = await this.#post("refresh", { refresh_token: this.#refreshToken });
      if (tokens) this.#begin(tokens);
      else this.#end();
      return tokens !== null;
    });
  }

  async logOut(everywhere = false) {
    await this.#post(everywhere ? "logout-all" : "logout", { refresh_token: this.#refreshToken });
    this.#end();
  }

  #begin(tokens) {
    if (this.cookies) {
      // The page has no use for the tokens: the browser keeps them where no script can read them.
      localStorage.setItem(this.#key, String(Date.now()));
    } else {
      this.#access = tokens.access_token;
      // This tab's only, and gone with it. A script that a stranger gets into this page could read it: prefer cookies.
      sessionStorage.setItem(this.#key, tokens.refresh_token);
    }
    this.#plan(Date.now() + tokens.expires_in * 1000);
    return { customer_id: tokens.customer_id };
  }

  #end() {
    clearTimeout(this.#timer);
    this.#access = null;
    sessionStorage.removeItem(this.#key);
    this.onend();
  }

  #plan(expires) {
    clearTimeout(this.#timer);
    if (!expires) return;
    const renew = () => this.renew().catch(() => { this.#timer = setTimeout(renew, 30_000); });
    this.#timer = setTimeout(renew, Math.max(expires - RENEW_BEFORE_MS - Date.now(), 1_000));
  }

  async #session() {
    if (!this.cookies && !this.#access) return null;
    const headers = { "X-Tenant-Slug": this.tenant };
    if (this.#access) headers.Authorization = `Bearer ${this.#access}`;
    const answer = await this.#fetch("session", { headers });
    if (!answer.ok) return null;
    const session = await answer.json();
    this.#plan(session.expires_at * 1000);
    return session;
  }

  async #post(verb, body) {
    const headers = { "Content-Type": "application/json", "X-Tenant-Slug": this.tenant };
    const answer = await this.#fetch(verb, { method: "POST", headers, body: JSON.stringify(body) });
    if (answer.status === 401) return null;
    return answer.status === 204 ? {} : answer.json();
  }

  async #fetch(verb, options) {
    const url = `${this.api}/v1/customer-auth/${verb}`;
    const answer = await fetch(url, { ...options, credentials: this.cookies ? "include" : "omit", cache: "no-store" });
    if (answer.ok || answer.status === 401) return answer;
    throw new Trouble(answer.status, Number(answer.headers.get("Retry-After")) || 0);
  }

  #alone(work) {
    // Per tab where cookies are not shared, and in browsers without locks: then two tabs may renew at once, which
    // doorcode answers alike.
    return this.cookies && navigator.locks ? navigator.locks.request(this.#key, work) : work();
  }

  get #key() { return `doorcode-${this.tenant}`; }
  get #refreshToken() { return this.cookies ? "" : (sessionStorage.getItem(this.#key) ?? ""); }
}

// No answer to the question: too many calls (429), or doorcode is busy (503).
export class Trouble extends Error {
  constructor(status, retryAfter) {
    super(`doorcode answered ${status}`);
    Object.assign(this, { status, retryAfter });
  }
}

// "123 456", " 123-456": as people copy it.
export const tidy = (code) => code.replace(/[\s-]/g, "");
