import type { Client, Request } from "autocannon";
import type { Milliseconds } from "../../src/system/clock.ts";
import { type Answer, type Outcome, readSpeaker } from "./answer.ts";
import type { PickedTarget } from "./target-picker.ts";

/** A shooter's surroundings. */
export interface ShooterOptions {
  /** Whom to ask next. */
  readonly pick: () => PickedTarget | undefined;
  /** Told of every request that has ended. */
  readonly report: (answer: Answer) => void;
  readonly nowMs: () => Milliseconds;
  /** A number that no other request has. */
  readonly nextSerial: () => number;
  /** As autocannon's `timeout`: a request that ends unanswered so late was timed out. */
  readonly timeoutMs: Milliseconds;
}

/** A request on its way. */
interface Flight {
  readonly serial: number;
  readonly target: number;
  readonly sentMs: Milliseconds;
}

const PATH = "/lychgate-load?n=";
const REQUEST_ID = "load-";

/** Parts of autocannon's client that it does not publish; see {@link mend}. */
interface ClientInsides {
  readonly parser?: { readonly type: unknown; reinitialize?(type: unknown): void };
  readonly pipelinedRequests?: { clear?(): void };
}

/**
 * Sends the requests of one autocannon connection, each to another sandbox, and reports what came of each.
 *
 * autocannon 8 builds requests before they are needed unless each has a `setupRequest`, and its request queue and its
 * parser outlive a connection that broke: the next answer would then be taken for the lost request's, its body would
 * begin with what was left of the last one, and a connection cut within an answer would never parse another. So every
 * request carries a serial number, in its path (which a pod repeats) and in `x-request-id` (which the router repeats), and
 * an answer counts for the request that it names; times are taken here; and what a lost request left behind is removed.
 */
export class Shooter {
  readonly #options: ShooterOptions;
  readonly #client: Client;
  #flight: Flight | undefined;
  #errorCode: string | undefined;
  #closing = false;

  /** Takes the connection over: to be called from autocannon's `setupClient`. */
  constructor(client: Client, options: ShooterOptions) {
    this.#client = client;
    this.#options = options;
    // Not among the events that its types know.
    (client as NodeJS.EventEmitter).on("connError", (error: NodeJS.ErrnoException) => {
      this.#errorCode = error.code ?? error.message;
    });
    client.setRequests([
      {
        setupRequest: (request) => this.#next(request),
        onResponse: (status, body, _context, headers) => this.#answered(status, body, headers ?? {}),
      },
    ]);
  }

  #next(request: Request): Request {
    const { pick, nextSerial, nowMs } = this.#options;
    if (this.#flight) this.#lost(this.#flight);
    const target = pick();
    if (!target) throw new Error("there is nobody to ask");
    const serial = nextSerial();
    this.#flight = { serial, target: target.index, sentMs: nowMs() };
    return {
      ...request,
      path: `${PATH}${serial}`,
      headers: { host: target.host, "x-request-id": `${REQUEST_ID}${serial}` },
    };
  }

  #answered(status: number, body: string, headers: Readonly<Record<string, unknown>>): void {
    const flight = this.#flight;
    if (!flight) return;
    this.#flight = undefined;
    this.#closing = headerOf(headers, "connection") === "close";
    this.#report(flight, this.#outcomeOf(flight, status, body, headers));
  }

  #outcomeOf(
    { serial }: Flight,
    status: number,
    body: string,
    headers: Readonly<Record<string, unknown>>,
  ): Outcome {
    const reason = headerOf(headers, "x-lychgate-reason");
    if (reason !== undefined) {
      const id = headerOf(headers, "x-request-id");
      const isForeign = id?.startsWith(REQUEST_ID) === true && id !== `${REQUEST_ID}${serial}`;
      return isForeign
        ? { kind: "foreign", said: `${status} ${reason} for ${id}` }
        : { kind: "router", status, reason };
    }
    const { speaker, path } = readSpeaker(body, headerOf(headers, "x-pod-uid"));
    const isForeign = path?.startsWith(PATH) === true && path !== `${PATH}${serial}`;
    return isForeign ? { kind: "foreign", said: body.slice(0, 500) } : { kind: "pod", status, speaker };
  }

  #lost(flight: Flight): void {
    mend(this.#client);
    const code = this.#errorCode ?? "closed";
    this.#errorCode = undefined;
    // autocannon sends on although the last answer said that the connection would close: nobody got that request.
    if (this.#closing) {
      this.#closing = false;
      return;
    }
    const tookMs = this.#options.nowMs() - flight.sentMs;
    const timedOut = tookMs >= this.#options.timeoutMs;
    this.#report(flight, timedOut ? { kind: "timeout" } : { kind: "cut", code });
  }

  #report({ target, sentMs }: Flight, outcome: Outcome): void {
    this.#options.report({ target, sentMs, answeredMs: this.#options.nowMs(), outcome });
  }
}

/** Lets the client begin anew after a connection that broke within a request. */
function mend(client: Client): void {
  const { parser, pipelinedRequests } = client as unknown as ClientInsides;
  pipelinedRequests?.clear?.();
  parser?.reinitialize?.(parser.type);
}

function headerOf(headers: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const key = name in headers ? name : Object.keys(headers).find((each) => each.toLowerCase() === name);
  const value = key === undefined ? undefined : headers[key];
  return typeof value === "string" ? value : undefined;
}
