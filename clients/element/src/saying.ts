import type { DoorcodeError } from "doorcode-js";
import { type Texts, when } from "./texts.js";

const secondsTo = (moment: number) => Math.ceil((moment - Date.now()) / 1000);

export type Words = { [text in keyof Texts]: text }[keyof Texts];

/** What is said above the form, or beside the field: a text's name and what fills it in. */
export interface Saying {
  text: Words;
  email?: string;
  id?: string;
  /** Milliseconds since 1970. */
  until?: number;
  /** `until` in words, once made: a countdown would be read aloud each second. */
  moment?: string;
}

/** Why a call failed, as users are told. */
export const ERRORS: Record<DoorcodeError["code"], Words> = {
  invalid_email: "emailInvalid",
  invalid_code: "codeInvalid",
  answer_lost: "answerLost",
  rate_limited: "rateLimited",
  offline: "offline",
  unavailable: "unavailable",
  rejected: "rejected",
};

export const FIELD_ERRORS = new Set<Words>(["emailMissing", "emailInvalid", "codeMissing", "codeInvalid", "codeSpent", "codeExpired"]);

/** In words. */
export function say(saying: Saying | null, texts: Texts, language: string): string {
  if (!saying) return "";
  const { text, email = "", id = "", until = 0 } = saying;
  const moment = (saying.moment ??= when(language, Math.max(1, secondsTo(until))));
  // Isolated: an address reads from left to right in every language.
  return texts[text].replace("{email}", () => `\u2068${email}\u2069`).replace("{when}", moment).replace("{id}", () => id);
}

/** `text` with the time that is left; `null` when it is over. */
export function countdown(text: string, until: number, language: string): string | null {
  const left = secondsTo(until);
  return left > 0 ? text.replace("{when}", when(language, left)) : null;
}
