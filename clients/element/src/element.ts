import { Doorcode, DoorcodeError, type Handover, type Session, type Storage, tidyCode, webStorage } from "doorcode-js";
import { palette } from "./colour.js";
import { CODE_LIFE, type Draft, load, mailsAgainAt, save, TRIES } from "./draft.js";
import { countdown, ERRORS, FIELD_ERRORS, say, type Saying } from "./saying.js";
import { choose, LANGUAGES, type Texts } from "./texts.js";
import { type Step, View } from "./view.js";

/** Where this script came from is where doorcode is, unless `api` says otherwise. */
const HOME = /^https?:/.test(import.meta.url) ? new URL(import.meta.url).origin : "";

/**
 * `<doorcode-login tenant="acme">`: the login form. See docs/PORTALS.md for attributes, events, parts and properties.
 *
 * Form-associated: its value is the customer's id, or with `tokens` the access token; `required` asks for a login.
 */
export class DoorcodeLogin extends HTMLElement {
  static readonly formAssociated = true;
  static readonly observedAttributes = ["tenant", "api", "tokens", "lang", "accent", "disabled", "required"];

  /** Own words for some of the texts. */
  messages: Partial<Texts> = {};
  /** Where to keep tokens (attribute `tokens`); by default in this tab's `sessionStorage`. Set it before the element is connected. */
  storage: Storage | undefined;

  readonly #internals = this.attachInternals();
  readonly #view: View;
  #client: Doorcode | undefined;
  #starting = false;
  #step: Step = "email";
  #draft: Draft | null = null;
  #said: Saying | null = null;
  #error: Saying | null = null;
  #busy = false;
  #letters = false;
  #disabled = false;
  /** Calls count again from then on (429), in milliseconds since 1970. */
  #blockedUntil = 0;
  #ticking: ReturnType<typeof setInterval> | undefined;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open", delegatesFocus: true });
    this.#view = new View(root, {
      send: () => this.#send(),
      verify: () => this.#verify(),
      resend: () => this.#resend(),
      letters: () => this.#typeLetters(),
      other: () => this.#other(),
      signOut: (everywhere) => this.#signOut(everywhere),
    });
    this.#view.code.input.addEventListener("input", () => this.#tidy());
  }

  /** The client behind the form: `logout`, `session`, `accessToken`. */
  get client(): Doorcode | undefined {
    return this.#client;
  }

  get form(): HTMLFormElement | null {
    return this.#internals.form;
  }

  get validity(): ValidityState {
    return this.#internals.validity;
  }

  checkValidity(): boolean {
    return this.#internals.checkValidity();
  }

  reportValidity(): boolean {
    return this.#internals.reportValidity();
  }

  connectedCallback(): void {
    this.#start();
    addEventListener("online", this.#online);
  }

  disconnectedCallback(): void {
    removeEventListener("online", this.#online);
    clearInterval(this.#ticking);
    this.#ticking = undefined;
    this.#client?.close();
    this.#client = undefined;
  }

  attributeChangedCallback(name: string): void {
    if (["tenant", "api", "tokens"].includes(name)) this.#start();
    else if (name === "accent") this.#colour();
    else this.#paint();
  }

  formDisabledCallback(disabled: boolean): void {
    this.#disabled = disabled;
    this.#paint();
  }

  // ---- begin and end

  /** After all attributes of this moment are known. */
  #start(): void {
    if (this.#starting || !this.isConnected) return;
    this.#starting = true;
    queueMicrotask(() => {
      this.#starting = false;
      if (this.isConnected) this.#begin();
    });
  }

  #begin(): void {
    this.#client?.close();
    this.#client = undefined;
    const tenant = this.getAttribute("tenant");
    if (!tenant) return this.#misconfigured();
    const [api, cookies] = [this.getAttribute("api") ?? HOME, !this.hasAttribute("tokens")];
    const storage = this.storage ?? (cookies ? undefined : webStorage(`doorcode:${api}:${tenant}`, "sessionStorage"));
    const client = new Doorcode({ tenant, api: api === location.origin ? "" : api, cookies, ...(storage && { storage }) });
    this.#client = client;
    client.addEventListener("signedin", (event) => this.#signedIn((event as CustomEvent<Session>).detail));
    client.addEventListener("signedout", () => this.#ended("signedout"));
    client.addEventListener("expired", () => this.#ended("expired"));
    this.#draft = load(this.#key);
    this.#show(this.#draft ? "code" : "email", this.#draft && { text: "sent", email: this.#draft.email });
    if (this.#draft) this.#view.email.input.value = this.#draft.email;
    if (this.hasAttribute("autofocus")) this.#view.focus(this.#step);
    // The form can be used meanwhile. Whether anybody is logged in is known soon; if it is not, nobody is.
    const known = this.#handover ? Promise.resolve() : client.session();
    known.catch(() => {}).finally(() => {
      this.#state("ready", true);
      this.#emit("ready");
    });
  }

  /** On doorcode's own page: the portal on another site that the login is for. */
  get #handover(): Handover | null {
    const [returnTo, codeChallenge] = [this.getAttribute("return-to"), this.getAttribute("code-challenge")];
    const state = this.getAttribute("state") ?? undefined;
    return returnTo && codeChallenge ? { returnTo, codeChallenge, state } : null;
  }

  /** For the developer: on the page, because nobody looks into the console of a page that only waits. */
  #misconfigured(): void {
    const words = 'doorcode-login: the attribute "tenant" is missing: <doorcode-login tenant="your-tenants-slug">';
    console.error(words);
    this.#disabled = true;
    this.#show("email", null);
    this.#view.email.error.textContent = words;
  }

  async #signedIn(session: Session): Promise<void> {
    save(this.#key, (this.#draft = null));
    this.#internals.setFormValue((await this.#client?.accessToken()) ?? session.customerId);
    this.#move("done", null);
    if (!this.#emit("signedin", session)) return;
    const next = this.getAttribute("next");
    if (next) this.#go(next);
  }

  #ended(event: "signedout" | "expired"): void {
    this.#internals.setFormValue(null);
    this.#move("email", { text: event === "expired" ? "expired" : "signedOut" });
    this.#emit(event);
  }

  #emit(name: string, detail: Session | null = null): boolean {
    return this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true, cancelable: true }));
  }

  /** Never a script: whoever builds the page may have taken `next` from its own URL. */
  #go(to: string): void {
    const url = new URL(to, location.href);
    if (/^https?:$/.test(url.protocol)) location.assign(url);
  }

  // ---- what the user does

  #send(): void {
    const email = this.#view.email.input.value.trim();
    if (!email) return this.#fail({ text: "emailMissing" });
    const draft = this.#draft;
    // The server would say yes and mail nothing: the code that is under way is still the one to type.
    if (draft?.email === email && Date.now() < mailsAgainAt(draft)) return this.#move("code", { text: "sent", email });
    this.#mail(email);
  }

  #resend(): void {
    this.#mail(this.#draft!.email);
  }

  #mail(email: string): void {
    this.#work(async () => {
      await this.#client!.login(email, { language: this.#language });
      this.#remember({ email, sentAt: Date.now(), wrong: 0 });
      this.#view.code.input.value = "";
      this.#move("code", { text: "sent", email });
    });
  }

  #verify(): void {
    const draft = this.#draft!;
    const code = tidyCode(this.#view.code.input.value);
    if (code.length !== 6) return this.#fail({ text: "codeMissing" });
    if (draft.wrong >= TRIES) return this.#fail({ text: "codeSpent" });
    if (Date.now() - draft.sentAt > CODE_LIFE) return this.#expire();
    this.#work(async () => {
      const handover = this.#handover;
      if (handover) return this.#go(await this.#client!.handOver(draft.email, code, handover));
      await this.#client!.verify(draft.email, code);
    });
  }

  /** The next mail may leave at once: the code's life is longer than the cool-down. */
  #expire(): void {
    this.#fail({ text: "codeExpired" });
  }

  #typeLetters(): void {
    this.#letters = true;
    this.#paint();
    this.#view.focus("code");
  }

  #other(): void {
    this.#move("email", null);
    this.#view.email.input.select();
  }

  #signOut(everywhere: boolean): void {
    this.#work(() => this.#client!.logout({ everywhere }));
  }

  #tidy(): void {
    const { input } = this.#view.code;
    const tidy = tidyCode(input.value);
    if (tidy !== input.value) input.value = tidy;
    if (/[A-Z]/.test(tidy)) this.#letters = true;
    if (this.#error && FIELD_ERRORS.has(this.#error.text)) this.#error = null;
    this.#paint();
  }

  /** One call at a time; what went wrong is said beside the field. */
  async #work(work: () => Promise<void>): Promise<void> {
    if (this.#busy || this.#disabled || Date.now() < this.#blockedUntil) return;
    this.#busy = true;
    this.#error = null;
    this.#paint();
    try {
      await work();
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#busy = false;
      this.#paint();
    }
  }

  #failed(error: unknown): void {
    if (!(error instanceof DoorcodeError)) throw error;
    const text = ERRORS[error.code];
    if (text === "rateLimited") this.#blockedUntil = Date.now() + error.retryAfter * 1000;
    if (text === "codeInvalid") return this.#wrong();
    if (text === "answerLost") this.#remember({ ...this.#draft!, wrong: TRIES }); // used: the next mail leaves at once
    this.#fail({ text, id: error.requestId || String(error.status), until: this.#blockedUntil });
  }

  #wrong(): void {
    const wrong = this.#draft!.wrong + 1;
    this.#remember({ ...this.#draft!, wrong });
    this.#fail({ text: wrong >= TRIES ? "codeSpent" : "codeInvalid" });
    this.#view.code.input.select(); // the next paste replaces it
  }

  #online = (): void => {
    if (this.#error?.text === "offline") this.#error = null;
    this.#paint();
  };

  // ---- what is seen

  get #key(): string {
    return `doorcode-login:${this.getAttribute("tenant")}`;
  }

  #remember(draft: Draft): void {
    save(this.#key, (this.#draft = draft));
  }

  #fail(error: Saying): void {
    this.#busy = false;
    this.#error = error;
    this.#paint();
    if (FIELD_ERRORS.has(error.text)) this.#view.focus(this.#step);
  }

  #show(step: Step, said: Saying | null): void {
    [this.#step, this.#said, this.#error] = [step, said, null];
    this.#paint();
  }

  /** To another step; the focus goes along if it was here. */
  #move(step: Step, said: Saying | null): void {
    const mine = this.matches(":focus-within");
    this.#busy = false;
    this.#show(step, said);
    if (mine) this.#view.focus(step);
  }

  get #language(): string {
    const near = this.closest("[lang]")?.getAttribute("lang");
    return choose(near ? [near] : navigator.languages);
  }

  get #texts(): Texts {
    return { ...LANGUAGES[this.#language]!, ...this.messages };
  }

  #paint(): void {
    const [texts, language] = [this.#texts, this.#language];
    const wait = countdown(texts.wait, this.#blockedUntil, language);
    const resendWait = wait ?? (this.#draft && countdown(texts.resendIn, mailsAgainAt(this.#draft), language));
    if (!wait && this.#error?.text === "rateLimited") this.#error = null;
    this.#view.paint({
      step: this.#step,
      texts,
      status: say(this.#said, texts, language),
      error: say(this.#error, texts, language),
      wrongField: this.#error !== null && FIELD_ERRORS.has(this.#error.text),
      busy: this.#busy,
      disabled: this.#disabled,
      wait,
      resendWait,
      letters: this.#letters,
    });
    this.#state("email", this.#step === "email");
    this.#state("code", this.#step === "code");
    this.#state("signed-in", this.#step === "done");
    this.#state("busy", this.#busy);
    this.#judge();
    this.#tick(wait !== null || (this.#step === "code" && resendWait !== null));
  }

  /** For CSS: `doorcode-login:state(signed-in)`. */
  #state(name: string, on: boolean): void {
    const states = this.#internals.states as CustomStateSet | undefined; // Safari before 17.4 has none
    if (on) states?.add(name);
    else states?.delete(name);
  }

  #tick(needed: boolean): void {
    if (!needed === !this.#ticking) return;
    clearInterval(this.#ticking);
    this.#ticking = needed && this.isConnected ? setInterval(() => this.#paint(), 1000) : undefined;
  }

  #colour(): void {
    const colours = palette(this.getAttribute("accent") ?? "");
    if (!colours) return;
    const set = (name: string, value: string) => this.style.setProperty(name, value);
    set("--doorcode-accent", colours.accent);
    set("--doorcode-on-accent", colours.onAccent);
    set("--doorcode-link", `light-dark(${colours.light}, ${colours.dark})`);
  }

  /** For the form around it. */
  #judge(): void {
    const missing = this.hasAttribute("required") && this.#step !== "done";
    const anchor = this.#step === "code" ? this.#view.code.input : this.#view.email.input;
    this.#internals.setValidity(missing ? { valueMissing: true } : {}, missing ? this.#texts.title : "", anchor);
  }
}
