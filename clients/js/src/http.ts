import { DoorcodeError, failure } from "./error.js";

/** The pauses between tries, in milliseconds; half of each is random. */
const PAUSES = [400, 1200];
/** One try's time limit. The server ends its own work after 2 s. */
const TIMEOUT = 10_000;
/** A server that names a longer wait is not waited for. */
const LONGEST_WAIT = 5;

export interface Call {
  method: string;
  headers: Record<string, string>;
  body?: string;
  credentials: RequestCredentials;
}

export interface Answer {
  status: number;
  /** The JSON; `null` where there is none. */
  body: any;
}

/**
 * Sends until there is a whole answer: at most three tries, all of calls that the server lets repeat. The answer is a
 * success or, where `accept` names it, another status.
 */
export async function send(fetching: typeof fetch, url: string, call: Call, accept?: number): Promise<Answer> {
  for (let tried = 0; ; tried++) {
    let trouble: DoorcodeError;
    try {
      const signal = AbortSignal.timeout(TIMEOUT);
      const answer = await fetching(url, { ...call, cache: "no-store", signal });
      const text = await answer.text();
      if (answer.ok || answer.status === accept) return { status: answer.status, body: text && JSON.parse(text) };
      trouble = failure(answer, text, tried > 0);
      if (trouble.code !== "unavailable") throw trouble;
    } catch (error) {
      if (error instanceof DoorcodeError) throw error;
      trouble = new DoorcodeError("offline", `no whole answer from ${url.split("?")[0]}: ${error}`);
    }
    const pause = PAUSES[tried];
    if (pause === undefined || trouble.retryAfter > LONGEST_WAIT) throw trouble;
    await sleep(Math.max(trouble.retryAfter * 1000, pause * (0.5 + Math.random() / 2)));
  }
}

const sleep = (ms: number) => new Promise((done) => setTimeout(done, ms));
