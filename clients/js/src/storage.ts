/** Who is logged in. Safe to show: it proves nothing to a server. */
export interface Session {
  customerId: string;
  tenantId: string;
  /** When the access token ends, in milliseconds since 1970 by this device's clock. */
  expiresAt: number;
}

/** What is kept between calls. Without cookies it has the tokens. */
export interface Held extends Session {
  accessToken?: string;
  refreshToken?: string;
}

/** Where it is kept. Both calls may be asynchronous: a phone's keychain, a server's session. */
export interface Storage {
  get(): Held | null | Promise<Held | null>;
  set(held: Held | null): void | Promise<void>;
  /** Calls `changed` when another tab or process wrote; ends with `signal`. */
  subscribe?(changed: () => void, signal: AbortSignal): void;
}

/** For this page or process only. */
export function memory(): Storage {
  let held: Held | null = null;
  return { get: () => held, set: (next) => void (held = next) };
}

/**
 * The browser's: `localStorage` is shared by the tabs of one origin, `sessionStorage` is one tab's. Every script of the page
 * can read it: with cookies there is nothing secret in it, without cookies there are tokens.
 */
export function webStorage(key: string, kind: "localStorage" | "sessionStorage" = "localStorage"): Storage {
  let box: globalThis.Storage;
  try {
    box = globalThis[kind];
    box.getItem(key);
  } catch {
    return memory(); // not in a browser, or its user forbade it
  }
  const get = () => {
    try {
      return JSON.parse(box.getItem(key) ?? "null") as Held | null;
    } catch {
      return null;
    }
  };
  return {
    get,
    set: (held) => (held ? box.setItem(key, JSON.stringify(held)) : box.removeItem(key)),
    subscribe: (changed, signal) =>
      addEventListener("storage", (event) => (event.key === key || event.key === null) && changed(), { signal }),
  };
}
