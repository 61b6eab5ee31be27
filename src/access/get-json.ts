import http from "node:http";
import https from "node:https";

import type { Milliseconds } from "../system/clock.ts";

/** Longer answers are cut off: a key set has a few kilobytes. */
const MAX_BYTES = 1024 * 1024;
const TIMEOUT_MS: Milliseconds = 10_000;

/**
 * `GET url`, which must answer 200 with JSON of at most 1 MiB within 10 s. Redirects are not followed: whoever may send them could
 * lead to where nothing is proven. `ca`: trusted in place of what Node trusts.
 *
 * @throws Error that says what is wrong and nothing of the answer.
 */
export async function getJson(url: string, ca: string | undefined): Promise<unknown> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const text = await getText(url, ca, signal).catch((error: unknown) => {
    throw signal.aborted
      ? new Error(`${url} did not answer within ${TIMEOUT_MS} ms`, { cause: error })
      : error;
  });
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${url} did not answer with JSON`, { cause: error });
  }
}

function getText(url: string, ca: string | undefined, signal: AbortSignal): Promise<string> {
  const { request } = url.startsWith("https:") ? https : http;
  return new Promise((resolve, reject) => {
    const options = {
      agent: false as const,
      signal,
      headers: { accept: "application/json" },
      ...(ca && { ca }),
    };
    const asking = request(url, options, (answer) => {
      const parts: Buffer[] = [];
      let length = 0;
      answer.on("error", reject);
      answer.on("data", (part: Buffer) => {
        parts.push(part);
        length += part.length;
        if (length > MAX_BYTES)
          asking.destroy(new Error(`${url} answered with more than ${MAX_BYTES} bytes`));
      });
      answer.on("end", () => {
        if (answer.statusCode === 200) resolve(Buffer.concat(parts).toString("utf8"));
        else reject(new Error(`${url} answered ${answer.statusCode}`));
      });
    });
    asking.on("error", reject).end();
  });
}
