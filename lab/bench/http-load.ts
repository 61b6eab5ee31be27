import type { Socket } from "node:net";
import { connectByTls, connectToProxy } from "./load-connection.ts";
import { type Exchange, exchanges } from "./exchanges.ts";
import type { LoadPlan } from "./load-plan.ts";
import type { LoadTally } from "./load-tally.ts";
import { createHeadMemory, ResponseCheck } from "./response-check.ts";

/** A running load. */
export interface Load {
  /** No request is sent any more; resolves when none is under way, or after two seconds, and then closes all. */
  stop(): Promise<void>;
}

const STOP_TIMEOUT_MS = 2000;
const RECONNECT_DELAY_MS = 20;

/** Sends HTTP requests by `plan`: by the clock when it has a rate, else each connection as fast as it is answered. */
export function startHttpLoad(plan: LoadPlan, podPort: number, tally: LoadTally): Load {
  return new HttpLoad(plan, podPort, tally);
}

class HttpLoad implements Load {
  readonly plan: LoadPlan;
  readonly tally: LoadTally;
  readonly memory = createHeadMemory();
  readonly #exchanges: Exchange[];
  #next = 0;
  readonly #connections: HttpConnection[] = [];
  /** Connections without a request, longest idle first: paced load is spread over all of them. */
  readonly #free: HttpConnection[] = [];
  #stopped = false;
  readonly #startedMs = performance.now();
  /** Requests that the clock has asked for and that were sent. */
  #sentByClock = 0;

  constructor(plan: LoadPlan, podPort: number, tally: LoadTally) {
    this.plan = plan;
    this.tally = tally;
    this.#exchanges = exchanges(plan, podPort);
    for (let each = 0; each < plan.connections; each += 1) this.#connections.push(new HttpConnection(this));
    if (plan.ratePerSecond !== undefined) this.#pace(plan.ratePerSecond);
  }

  exchange(): Exchange {
    const exchange = this.#exchanges[this.#next]!;
    this.#next = (this.#next + 1) % this.#exchanges.length;
    return exchange;
  }

  /** `connection` waits for its next request. */
  ready(connection: HttpConnection): void {
    if (this.#stopped) connection.close();
    else if (this.plan.ratePerSecond === undefined) connection.send(performance.now());
    else this.#free.push(connection);
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /**
   * Request k is due at k / rate, and its latency counts from then on even when no connection was free. The loop
   * turns without a timer, which would be a millisecond late: only the load's own core pays for that. A plan that
   * asks for a timer gets one.
   */
  #pace(ratePerSecond: number): void {
    const again = (): unknown => (this.plan.timerClock === true ? setTimeout(turn, 1) : setImmediate(turn));
    const turn = (): void => {
      if (this.#stopped) return;
      const due = ((performance.now() - this.#startedMs) / 1000) * ratePerSecond;
      while (this.#sentByClock < due) {
        const connection = this.#free.shift();
        if (connection === undefined) break;
        connection.send(this.#startedMs + (this.#sentByClock / ratePerSecond) * 1000);
        this.#sentByClock += 1;
      }
      again();
    };
    again();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    const deadlineMs = performance.now() + STOP_TIMEOUT_MS;
    while (this.#connections.some((each) => each.busy) && performance.now() < deadlineMs) {
      await new Promise((done) => setTimeout(done, 5));
    }
    for (const each of this.#connections) each.close();
  }
}

class HttpConnection {
  readonly #load: HttpLoad;
  readonly #check: ResponseCheck;
  #socket: Socket | undefined;
  #sinceMs = 0;
  busy = false;
  #closing = false;

  constructor(load: HttpLoad) {
    this.#load = load;
    this.#check = new ResponseCheck(load.memory);
    if (!load.plan.clientCloses) this.#connect();
    setImmediate(() => load.ready(this));
  }

  send(sinceMs: number): void {
    if (this.#socket === undefined) this.#connect();
    const socket = this.#socket!;
    const exchange = this.#load.exchange();
    this.#check.expect(exchange.response);
    this.#sinceMs = sinceMs;
    this.busy = true;
    // A small body goes with its head: `request` holds both then.
    if (exchange.body === undefined) {
      socket.write(exchange.request, "latin1");
    } else {
      socket.cork();
      socket.write(exchange.request, "latin1");
      socket.write(exchange.body);
      socket.uncork();
    }
  }

  close(): void {
    this.#closing = true;
    this.#socket?.destroy();
  }

  #connect(): void {
    const { port, tls = false } = this.#load.plan;
    const socket = (tls ? connectByTls : connectToProxy)(port, {
      read: (buffer, length) => this.#read(buffer, length),
      closed: (error) => this.#closed(socket, error),
    });
    this.#socket = socket;
  }

  #read(buffer: Buffer, length: number): void {
    if (!this.busy) return this.#fail("bytes that nobody asked for");
    const progress = this.#check.feed(buffer, length);
    if (progress === "more") return;
    if (typeof progress === "object") return this.#fail(progress.wrong);
    this.busy = false;
    this.#load.tally.answered(performance.now() - this.#sinceMs);
    if (progress === "done") return this.#load.ready(this);
    // The proxy closes; the next request has a new connection.
    if (this.#load.plan.clientCloses) return;
    this.#socket?.destroy();
  }

  #fail(message: string): void {
    this.busy = false;
    this.#load.tally.failed(message);
    this.#socket?.destroy();
  }

  #closed(socket: Socket, error: Error | undefined): void {
    if (this.#socket !== socket) return;
    this.#socket = undefined;
    const wasBusy = this.busy;
    this.busy = false;
    if (this.#closing) return;
    if (wasBusy)
      this.#load.tally.failed(`the connection ended before the answer${error ? `: ${error.message}` : ""}`);
    if (this.#load.stopped) return;
    if (error === undefined && !wasBusy) return this.#load.ready(this);
    setTimeout(() => this.#load.ready(this), RECONNECT_DELAY_MS);
  }
}
