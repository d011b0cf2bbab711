/** A login that has begun: a reload goes on where it was. In `sessionStorage`: this tab's, and gone with it. */
export interface Draft {
  email: string;
  /** When the code was asked for, in milliseconds since 1970. */
  sentAt: number;
  /** Wrong codes since then. */
  wrong: number;
}

/** A code's life, and the time between two mails to one address, in milliseconds: the server's. */
export const CODE_LIFE = 600_000;
export const COOL_DOWN = 60_000;
/** Wrong tries that a code takes. */
export const TRIES = 5;

export function load(key: string): Draft | null {
  try {
    const draft = JSON.parse(sessionStorage.getItem(key) ?? "null") as Draft | null;
    return draft && Date.now() - draft.sentAt < CODE_LIFE ? draft : null;
  } catch {
    return null;
  }
}

export function save(key: string, draft: Draft | null): void {
  try {
    if (draft) sessionStorage.setItem(key, JSON.stringify(draft));
    else sessionStorage.removeItem(key);
  } catch {
    // The user forbade it: a reload begins anew.
  }
}

/** When the server mails again, in milliseconds since 1970. It does not wait where the code has been spent. */
export const mailsAgainAt = ({ sentAt, wrong }: Draft) => (wrong >= TRIES ? 0 : sentAt + COOL_DOWN);
