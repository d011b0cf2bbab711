import css from "./style.css";
import type { Texts } from "./texts.js";

export type Step = "email" | "code" | "done";

/** What is to be seen; the element decides it. */
export interface Picture {
  step: Step;
  texts: Texts;
  status: string;
  error: string;
  /** The field that the error is about. */
  wrongField: boolean;
  busy: boolean;
  disabled: boolean;
  /** The main button's words while it must wait. */
  wait: string | null;
  /** The resend button's words while it must wait. */
  resendWait: string | null;
  letters: boolean;
}

/** What the user does; each is one of the element's methods. */
export interface Actions {
  send(): void;
  verify(): void;
  letters(): void;
  resend(): void;
  other(): void;
  signOut(everywhere: boolean): void;
}

type Child = Node | string;

function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function button(kind: "main" | "link", name: string, act: (() => void) | null): HTMLButtonElement {
  const made = h("button", { part: `button ${kind} ${name}`, class: kind, type: act ? "button" : "submit" });
  if (act) made.addEventListener("click", () => made.ariaDisabled !== "true" && act());
  return made;
}

/** One step's label, field, hint and error; the error is announced when it appears. */
function field(name: string, attributes: Record<string, string>) {
  const input = h("input", { id: name, name, part: "input", required: "", spellcheck: "false", ...attributes });
  const label = h("label", { for: name, part: "label" });
  const hint = h("p", { id: `${name}-hint`, class: "hint", part: "hint" });
  const error = h("p", { id: `${name}-error`, class: "error", part: "error", role: "alert" });
  return { input, label, hint, error, all: [label, input, hint, error] };
}

const sheet = () => {
  const made = new CSSStyleSheet();
  made.replaceSync(css);
  return made;
};
let shared: CSSStyleSheet | undefined;

/** The shadow tree. Built once; `paint` changes words and what is hidden, so that live regions and focus stay. */
export class View {
  readonly email = field("email", { type: "email", autocomplete: "email", inputmode: "email", autocapitalize: "none", dir: "ltr" });
  // No maxlength: it would cut a pasted "123 456".
  readonly code = field("code", { autocomplete: "one-time-code", inputmode: "numeric", autocapitalize: "characters", dir: "ltr" });
  readonly #title = h("h2", { part: "title", tabindex: "-1" });
  readonly #status = h("p", { class: "status", part: "status", role: "status" });
  readonly #fault = h("p", { class: "error", part: "error", role: "alert" });
  readonly #send = button("main", "send", null);
  readonly #verify = button("main", "verify", null);
  readonly #letters: HTMLButtonElement;
  readonly #resend: HTMLButtonElement;
  readonly #other: HTMLButtonElement;
  readonly #signOut: HTMLButtonElement;
  readonly #signOutAll: HTMLButtonElement;
  readonly #steps: Record<Step, HTMLElement>;

  constructor(root: ShadowRoot, actions: Actions) {
    this.#letters = button("link", "letters", actions.letters);
    this.#resend = button("link", "resend", actions.resend);
    this.#other = button("link", "other", actions.other);
    this.#signOut = button("main", "sign-out", () => actions.signOut(false));
    this.#signOutAll = button("link", "sign-out-all", () => actions.signOut(true));
    const form = (submit: () => void, ...children: Child[]) => {
      const made = h("form", { part: "form", novalidate: "" }, ...children);
      made.addEventListener("submit", (event) => {
        event.preventDefault();
        submit();
      });
      return made;
    };
    const more = (...buttons: Child[]) => h("div", { class: "more", part: "more" }, ...buttons);
    this.#steps = {
      email: form(actions.send, ...this.email.all, this.#send),
      code: form(actions.verify, ...this.code.all, this.#verify, more(this.#resend, this.#letters, this.#other)),
      done: h("div", {}, h("slot", { name: "signed-in" }), this.#fault, this.#signOut, more(this.#signOutAll)),
    };
    const title = h("slot", { name: "title" }, this.#title);
    root.adoptedStyleSheets = [(shared ??= sheet())];
    root.append(h("div", { class: "box", part: "box" }, title, this.#status, ...Object.values(this.#steps)));
  }

  paint({ step, texts, status, error, wrongField, busy, disabled, wait, resendWait, letters }: Picture): void {
    for (const [name, part] of Object.entries(this.#steps)) part.hidden = name !== step;
    const words: [HTMLElement, string][] = [
      [this.#title, step === "done" ? texts.signedIn : texts.title],
      [this.#status, status],
      [this.email.label, texts.email],
      [this.email.hint, texts.emailHint],
      [this.email.error, step === "email" ? error : ""],
      [this.#send, wait ?? texts.send],
      [this.code.label, texts.code],
      [this.code.hint, texts.codeHint],
      [this.code.error, step === "code" ? error : ""],
      [this.#verify, wait ?? texts.verify],
      [this.#letters, texts.letters],
      [this.#resend, resendWait ?? texts.resend],
      [this.#other, texts.other],
      [this.#fault, step === "done" ? error : ""],
      [this.#signOut, texts.signOut],
      [this.#signOutAll, texts.signOutAll],
    ];
    // A live region that is written again is read again.
    for (const [element, text] of words) if (element.textContent !== text) element.textContent = text;
    for (const one of [this.email, this.code]) {
      const wrong = wrongField && one.error.textContent !== "";
      one.input.ariaInvalid = wrong ? "true" : null;
      one.input.setAttribute("aria-describedby", `${one.error.textContent ? `${one.error.id} ` : ""}${one.hint.id}`);
      one.input.readOnly = busy;
      one.input.disabled = disabled;
    }
    for (const one of [this.#send, this.#verify, this.#signOut, this.#signOutAll, this.#letters, this.#resend, this.#other]) {
      const waits = one === this.#resend ? resendWait !== null : one.type === "submit" && wait !== null;
      one.ariaDisabled = busy || disabled || waits ? "true" : null;
    }
    for (const one of [this.#send, this.#verify, this.#signOut]) one.ariaBusy = busy ? "true" : null;
    this.#letters.hidden = letters;
    this.code.input.inputMode = letters ? "text" : "numeric";
  }

  /** To where the user goes on. */
  focus(step: Step): void {
    ({ email: this.email.input, code: this.code.input, done: this.#title })[step].focus();
  }
}
