import { DoorcodeError } from "./error.js";
import { type Answer, type Call, send } from "./http.js";
import { type Held, memory, type Session, type Storage, webStorage } from "./storage.js";

export interface Options {
  /** The tenant's slug. */
  tenant: string;
  /** Where doorcode is: `""` (this page's own origin, the default) or `https://auth.acme.com`. */
  api?: string;
  /** Whether the browser keeps the tokens in cookies (the default), or this client in `storage`. */
  cookies?: boolean;
  /** Where to keep what is known between calls; by default shared by tabs with cookies, else in memory. */
  storage?: Storage;
  /** Renew when less than this is left, in seconds; 300 by default. */
  renewAhead?: number;
  /** `fetch` by default. */
  fetch?: typeof fetch;
}

/** What a portal sends a browser to the hosted page with. */
export interface Handover {
  returnTo: string;
  codeChallenge: string;
  state?: string | undefined;
}

/** Tries again after this, in milliseconds, when a renewal in the background had no answer. */
const RENEW_AGAIN = 30_000;
/** A page that comes back into view asks the server again if the last time is longer ago, in milliseconds. */
const STALE = 60_000;
/** The longest time that `setTimeout` takes. */
const LONGEST_TIMER = 2 ** 31 - 1;

/**
 * A login at one tenant of a doorcode server.
 *
 * Events, each a `CustomEvent` whose `detail` is the `Session` or `null`: `signedin`, `signedout` (by this page or another
 * tab) and `expired` (the server ended the session).
 */
export class Doorcode extends EventTarget {
  readonly tenant: string;
  readonly #api: string;
  readonly #cookies: boolean;
  readonly #ahead: number;
  readonly #store: Storage;
  readonly #fetch: typeof fetch;
  readonly #closing = new AbortController();
  /** What the last event told. */
  #told: Session | null = null;
  #asked = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Renewals of this client, one after another, where there are no locks. */
  #queue: Promise<unknown> = Promise.resolve();

  constructor({ tenant, api = "", cookies = true, storage, renewAhead = 300, fetch: fetching }: Options) {
    super();
    if (!tenant) throw new TypeError("doorcode: the option `tenant` is missing; give the tenant's slug");
    this.tenant = tenant;
    this.#api = api.replace(/\/$/, "");
    this.#cookies = cookies;
    this.#ahead = renewAhead * 1000;
    this.#store = storage ?? (cookies ? webStorage(this.#name) : memory());
    this.#fetch = fetching ?? ((input, init) => fetch(input, init));
    const { signal } = this.#closing;
    this.#store.subscribe?.(() => void this.#reread(), signal);
    const back = () => globalThis.document?.visibilityState !== "hidden" && void this.#wake();
    globalThis.addEventListener?.("pageshow", (event) => event.persisted && void this.#wake(true), { signal });
    globalThis.addEventListener?.("online", back, { signal });
    globalThis.document?.addEventListener("visibilitychange", back, { signal });
  }

  /** Stops timers and listeners. The session goes on. */
  close(): void {
    this.#closing.abort();
    clearTimeout(this.#timer);
  }

  /**
   * Has a code mailed to `email`, if it is a customer's: the answer is the same if it is not. At most one mail a minute
   * leaves. `language` (BCP 47) is the mail's.
   */
  async login(email: string, { language }: { language?: string } = {}): Promise<void> {
    const headers: Record<string, string> = language ? { "Accept-Language": language } : {};
    await this.#post("login", { email, tenant_slug: this.tenant }, { headers });
  }

  /** Logs in with the code from the mail, as typed or pasted. */
  async verify(email: string, code: string): Promise<Session> {
    const body = { code: tidyCode(code), email, tenant_slug: this.tenant };
    return this.#begin(await this.#post(this.#cookies ? "verify" : "token", body));
  }

  /** Who is logged in here, after a silent renewal if need be; `null`: nobody. */
  async session(): Promise<Session | null> {
    this.#asked = Date.now();
    const held = await this.#store.get();
    if (!this.#cookies) return held && (held.expiresAt > Date.now() ? this.#keep(held) : this.refresh());
    const current = await this.#current();
    return current ? this.#keep(current) : this.refresh();
  }

  /** Renews now; of many tabs that do, one asks the server. `null`: the session has ended. */
  refresh(): Promise<Session | null> {
    return this.#renew(true);
  }

  /** Ends this session, or all of this customer's. */
  async logout({ everywhere = false } = {}): Promise<void> {
    await this.#alone(async () => {
      const held = await this.#store.get();
      await this.#post(everywhere ? "logout-all" : "logout", { refresh_token: held?.refreshToken ?? "" });
      await this.#end("signedout");
    });
  }

  /** A token for `Authorization: Bearer`, renewed if need be; `null` when nobody is logged in, or cookies are used. */
  async accessToken(): Promise<string | null> {
    const held = await this.#store.get();
    if (held && held.expiresAt - this.#ahead <= Date.now()) await this.#renew(false);
    return (await this.#store.get())?.accessToken ?? null;
  }

  /** For doorcode's own page: logs in for the portal at `returnTo`; gives the URL to go to. */
  async handOver(email: string, code: string, { returnTo, state, codeChallenge }: Handover): Promise<string> {
    const body = { code: tidyCode(code), email, tenant_slug: this.tenant, return_to: returnTo, code_challenge: codeChallenge };
    return (await this.#post("handover", state === undefined ? body : { ...body, state })).body.location;
  }

  /** Takes over the login of a hosted page: `code` from its redirect, `verifier` from `hostedLogin`. */
  async exchange(code: string, verifier: string): Promise<Session> {
    return this.#begin(await this.#post("exchange", { code, code_verifier: verifier }));
  }

  get #name(): string {
    return `doorcode:${this.#api}:${this.tenant}`;
  }

  // ---- the session's life

  async #renew(forced: boolean): Promise<Session | null> {
    const before = await this.#store.get();
    return this.#alone(async (waited) => {
      const now = await this.#store.get();
      if (before && !now) return this.#keep(null); // another tab learnt that it has ended
      const newer = now && now.expiresAt > (before?.expiresAt ?? 0);
      if (now && (newer || (!forced && now.expiresAt - this.#ahead > Date.now()))) return this.#keep(now);
      if (!this.#cookies && !now) return this.#keep(null);
      // What another tab wrote to `localStorage` may come after its lock, but its cookies are there.
      const theirs = this.#cookies && waited && (await this.#current());
      if (theirs && theirs.expiresAt - this.#ahead > Date.now()) return this.#keep(theirs);
      const answer = await this.#post("refresh", { refresh_token: now?.refreshToken ?? "" }, { accept: 401 });
      return answer.status === 401 ? this.#end("expired") : this.#begin(answer);
    });
  }

  /** The session of the browser's cookies, as the server sees it; `null` when it needs a renewal or there is none. */
  async #current(): Promise<Session | null> {
    const { status, body } = await this.#call("session", { method: "GET" }, 401);
    if (status === 401) return null;
    const { customer_id: customerId, tenant_id: tenantId, expires_at } = body;
    // By this device's clock, which may be wrong: no token lives longer than an hour.
    return { customerId, tenantId, expiresAt: Math.min(expires_at * 1000, Date.now() + 3_600_000) };
  }

  async #begin({ body: tokens }: Answer): Promise<Session> {
    const held: Held = {
      customerId: tokens.customer_id,
      tenantId: tokens.tenant_id,
      expiresAt: Date.now() + tokens.expires_in * 1000,
    };
    // With cookies a page has no use for the tokens: the browser keeps them where no script can read them.
    if (!this.#cookies) Object.assign(held, { accessToken: tokens.access_token, refreshToken: tokens.refresh_token });
    this.#asked = Date.now();
    return (await this.#keep(held, held))!;
  }

  async #end(event: "signedout" | "expired"): Promise<null> {
    await this.#keep(null, null, event);
    return null;
  }

  /** Takes `held` for what is so, writes it where it is news, plans the next renewal, and tells. */
  async #keep(held: Held | null, write: Held | null | undefined = undefined, ended = "signedout"): Promise<Session | null> {
    const known = await this.#store.get();
    if (write !== undefined || (held && held.expiresAt !== known?.expiresAt)) await this.#store.set(held);
    const was = this.#told;
    this.#told = held && { customerId: held.customerId, tenantId: held.tenantId, expiresAt: held.expiresAt };
    this.#plan(held ? held.expiresAt - this.#ahead - Date.now() : undefined);
    if (held && was?.customerId !== held.customerId) this.#tell("signedin");
    if (!held && was) this.#tell(ended);
    return this.#told;
  }

  #tell(event: string): void {
    this.dispatchEvent(new CustomEvent(event, { detail: this.#told }));
  }

  #plan(wait: number | undefined): void {
    clearTimeout(this.#timer);
    if (wait === undefined || this.#closing.signal.aborted) return;
    const renew = () => this.#renew(false).catch((error) => this.#plan(Math.max(RENEW_AGAIN, error.retryAfter * 1000)));
    this.#timer = setTimeout(renew, Math.min(Math.max(wait, 1000), LONGEST_TIMER));
    // A server's process may end while a session goes on.
    if (typeof this.#timer === "object") (this.#timer as { unref?: () => void }).unref?.();
  }

  /** Another tab wrote. */
  async #reread(): Promise<void> {
    await this.#keep(await this.#store.get());
  }

  /** The page comes back: out of the history, out of the background, online. Timers may have slept. */
  async #wake(restored = false): Promise<void> {
    const held = await this.#store.get();
    if (!held !== !this.#told) await this.#keep(held);
    if (this.#told && (restored || Date.now() - this.#asked > STALE)) await this.session().catch(() => {});
  }

  /** One at a time, over all tabs where the browser has locks. `work` is told whether it had to wait for another tab. */
  async #alone<T>(work: (waited: boolean) => Promise<T>): Promise<T> {
    const locks = globalThis.navigator?.locks;
    if (locks) {
      const first = await locks.request(this.#name, { ifAvailable: true }, async (lock) => lock && { done: await work(false) });
      return first ? first.done : locks.request(this.#name, () => work(true));
    }
    const alone = () => work(false);
    const turn = this.#queue.then(alone, alone);
    this.#queue = turn.catch(() => {});
    return turn;
  }

  // ---- calls

  #post(verb: string, body: object, { headers, accept }: { headers?: Record<string, string>; accept?: number } = {}) {
    const call = { method: "POST", headers: { "Content-Type": "application/json", ...headers }, body: JSON.stringify(body) };
    return this.#call(verb, call, accept);
  }

  async #call(verb: string, call: Partial<Call>, accept?: number) {
    const headers: Record<string, string> = { "X-Tenant-Slug": this.tenant, ...call.headers };
    const token = call.method === "GET" && (await this.#store.get())?.accessToken;
    if (token) headers.Authorization = `Bearer ${token}`;
    const credentials = this.#cookies ? "include" : "omit";
    const url = `${this.#api}/v1/customer-auth/${verb}`;
    return send(this.#fetch, url, { method: "GET", credentials, ...call, headers }, accept);
  }
}

/** A code as people type and paste it, in the server's form: "123 456", "１２３４５６", "k7q-4tz", a whole sentence with it. */
export function tidyCode(text: string): string {
  const plain = text.normalize("NFKC").toUpperCase();
  const digits = /(?:^|\D)(\d{3})[\s-]?(\d{3})(?!\d)/.exec(plain);
  if (digits && plain.length > 8) return digits[1]! + digits[2]!;
  return plain.replace(/[^0-9A-Z]/g, "").slice(0, 6);
}

export { DoorcodeError };
