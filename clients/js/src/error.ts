/**
 * Why a call failed, for programs:
 *
 * - `invalid_email`: not an address that mail can be sent to
 * - `invalid_code`: wrong, expired or used; the server does not say which
 * - `answer_lost`: the answer of a first try was lost, and the code may have been used by it: ask for a new one
 * - `rate_limited`: too many calls; `retryAfter` says when the next one counts
 * - `offline`: no answer from the server
 * - `unavailable`: the server cannot serve now
 * - `rejected`: anything else; the server's `detail` is in the message
 */
export type ErrorCode =
  | "invalid_email"
  | "invalid_code"
  | "answer_lost"
  | "rate_limited"
  | "offline"
  | "unavailable"
  | "rejected";

/** A call that failed. No code, token or address is in it. */
export class DoorcodeError extends Error {
  override readonly name = "DoorcodeError";

  constructor(
    readonly code: ErrorCode,
    message: string,
    /** The HTTP status; 0 without an answer. */
    readonly status = 0,
    /** Seconds to wait before the next call; 0 where the server names none. */
    readonly retryAfter = 0,
    /** The answer's `X-Request-Id`, for the server's operator. */
    readonly requestId = "",
  ) {
    super(message);
  }
}

/** What an answer that is no success means. `again`: an earlier try of the same call had no answer. */
export function failure({ status, headers }: Response, text: string, again: boolean): DoorcodeError {
  const wait = Number(headers.get("Retry-After")) || 0;
  const make = (code: ErrorCode, message: string) =>
    new DoorcodeError(code, message, status, wait, headers.get("X-Request-Id") ?? "");
  if (status === 401 && again) return make("answer_lost", "an earlier try had no answer, and may have used the code");
  if (status === 401) return make("invalid_code", "the code is wrong, has expired or was used");
  if (status === 429) return make("rate_limited", `too many calls: wait ${wait} s`);
  if (status >= 500 || status === 408) return make("unavailable", `the server answered ${status}`);
  const field = fieldOf(text);
  if (status === 422 && field === "email") return make("invalid_email", "this is no address that mail can be sent to");
  if (status === 422 && field === "code") return make("invalid_code", "a code has six letters or digits");
  return make("rejected", `the server answered ${status}: ${text.slice(0, 200)}`);
}

/** The field that a 422 complains of. */
function fieldOf(text: string): string | undefined {
  try {
    return JSON.parse(text).detail[0].loc[1];
  } catch {
    return undefined;
  }
}
