import type { Dispatcher } from "undici";
import type { Milliseconds } from "../../system/clock.ts";
import { ExchangeFault, readDigest, readFacts, readLeaves } from "./exchange-json.ts";
import type { Replica } from "./replica.ts";

/** Options of {@link httpReplica}. */
export interface HttpReplicaOptions {
  /** Where the other's peer port is, such as `http://10.0.0.7:7789`. */
  readonly origin: string;
  readonly dispatcher: Dispatcher;
  /** Longest wait for each answer, head and body. */
  readonly timeoutMs: Milliseconds;
  /** Longest answer, in bytes. */
  readonly maxBytes: number;
}

/** Another replica, asked over HTTP. */
export function httpReplica({ origin, dispatcher, timeoutMs, maxBytes }: HttpReplicaOptions): Replica {
  const ask = async (path: string): Promise<string> => {
    const { statusCode, body } = await dispatcher.request({
      origin,
      path: `/anti-entropy/${path}`,
      method: "GET",
      signal: AbortSignal.timeout(timeoutMs),
    });
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      length += chunk.length;
      // Leaving the loop destroys the body, and with it the connection.
      if (length > maxBytes) throw new ExchangeFault(`its answer is longer than ${maxBytes} bytes`);
      chunks.push(chunk);
    }
    if (statusCode !== 200) throw new ExchangeFault(`it answered ${statusCode}`);
    return Buffer.concat(chunks).toString("utf8");
  };
  return {
    digest: async () => readDigest(await ask("digest")),
    leaves: async (branch) => readLeaves(await ask(`leaves?branch=${branch}`)),
    facts: async (leaves, after) => {
      const query = new URLSearchParams({ leaf: leaves.join(",") });
      if (after !== undefined) query.set("after", after);
      return readFacts(await ask(`facts?${query.toString()}`));
    },
  };
}
