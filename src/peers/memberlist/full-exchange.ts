import type { Milliseconds, TimerHandle } from "../../system/clock.ts";
import { type Endpoint, endpointText } from "./endpoint.ts";
import type { PushPull } from "./messages.ts";
import type { Parts } from "./parts.ts";
import { encodePushPull } from "./stream-messages.ts";
import { sealStream } from "./stream.ts";
import { pushPullDelayMs } from "./timing.ts";

/** Exchanges all that is known of all members over streams (memberlist's push/pull): now and then, and to join. */
export class FullExchange {
  readonly #parts: Parts;
  /** See {@link FullExchange.#state}, by whether it is to join. */
  readonly #states = new Map<boolean, { readonly version: number; readonly message: Buffer }>();
  #timer: TimerHandle | undefined;
  #stopped = true;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Begins the periodic exchanges, after a random part of their interval. */
  start(): void {
    const { settings, random } = this.#parts;
    this.#stopped = false;
    this.#set(settings.pushPullIntervalMs * random(), () => this.#schedule());
  }

  /** Ends the periodic exchanges. The answers of those that are under way change nothing. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.clear();
  }

  /** Takes in what another member knows, and returns the sealed answer: what this side knew before. */
  answer({ join, states }: PushPull, from: Endpoint): Buffer {
    const { membership, wrapping, log } = this.#parts;
    const answer = this.#state(join);
    log.debug("full exchange of members", { from: endpointText(from), join, members: states.length });
    membership.merge(states);
    return sealStream(answer, wrapping, "answers");
  }

  /** Tells another member all that this side knows, and takes in what that one knows. Resolves false when that failed. */
  async with(to: Endpoint, join: boolean): Promise<boolean> {
    const { settings, membership, transport, wrapping, log } = this.#parts;
    try {
      const request = sealStream(this.#state(join), wrapping, "connects");
      const answer = await transport.exchange(request, to, settings.streamTimeoutMs);
      if (answer.kind === "error")
        throw new Error(`the other side could not read the exchange: ${answer.text}`);
      if (answer.kind !== "push_pull") throw new Error(`the other side answered with ${answer.kind}`);
      if (!this.#stopped) membership.merge(answer.states);
      return true;
    } catch (error) {
      log.debug("a full exchange of members failed", { to: endpointText(to), join, error });
      return false;
    }
  }

  #schedule(): void {
    const { settings, membership } = this.#parts;
    this.#set(pushPullDelayMs(settings.pushPullIntervalMs, membership.size), () => {
      this.#schedule();
      const [member] = membership.pick(1, ({ status }) => status === "alive");
      if (member) void this.with(member, false);
    });
  }

  /** All that this side knows, as a message. Made once for each change: whoever asks again and again gets the same bytes. */
  #state(join: boolean): Buffer {
    const { version } = this.#parts.membership;
    const made = this.#states.get(join);
    if (made?.version === version) return made.message;
    const message = encodePushPull(join, this.#parts.membership.states());
    this.#states.set(join, { version, message });
    return message;
  }

  #set(delayMs: Milliseconds, run: () => void): void {
    this.#timer = this.#parts.clock.setTimeout(run, delayMs);
  }
}
