import { CLIENT_TRANSITIONS } from "../../../src/proxy/fast/client-phase.ts";
import { FastClient } from "../../../src/proxy/fast/fast-client.ts";
import { Exchange, EXCHANGE_TRANSITIONS } from "../../../src/proxy/full/exchange.ts";
import { StreamExchange } from "../../../src/proxy/h2/stream-exchange.ts";
import { STREAM_TRANSITIONS } from "../../../src/proxy/h2/stream-phase.ts";
import { Tunnel, TUNNEL_TRANSITIONS } from "../../../src/proxy/full/tunnel.ts";

// Whatever a test of the proxy plays, no state machine of it takes a way that its table does not have.

type Table = Readonly<Record<string, readonly string[]>>;

interface Machine {
  enter(state: string): void;
}

/** Ways that were taken and are in no table, since the last call of {@link strayWays}. */
const stray: string[] = [];

/** Every `from → to` that was taken in this process, by machine. */
export const taken = {
  client: watch(FastClient.prototype, CLIENT_TRANSITIONS, ["head"]),
  exchange: watch(Exchange.prototype, EXCHANGE_TRANSITIONS, ["collecting", "leasing"]),
  tunnel: watch(Tunnel.prototype, TUNNEL_TRANSITIONS, ["asking"]),
  stream: watch(StreamExchange.prototype, STREAM_TRANSITIONS, [...STREAM_TRANSITIONS.seeking]),
};

/** All ways of a table. */
export function waysOf(table: Table): string[] {
  return Object.entries(table).flatMap(([from, to]) => to.map((state) => `${from} → ${state}`));
}

/** See {@link stray}. */
export function strayWays(): string[] {
  return stray.splice(0);
}

/** A state that is entered again begins its time again: that is no way. */
function watch(prototype: object, table: Table, first: readonly string[]): Set<string> {
  const machine = prototype as Machine;
  const known = new Set(waysOf(table));
  const seen = new Set<string>();
  const states = new WeakMap<Machine, string>();
  const { enter } = machine;
  machine.enter = function enterWatched(this: Machine, state: string): void {
    const from = states.get(this);
    const way = `${from} → ${state}`;
    if (from === undefined ? !first.includes(state) : from !== state && !known.has(way)) stray.push(way);
    if (from !== undefined && from !== state) seen.add(way);
    states.set(this, state);
    enter.call(this, state);
  };
  return seen;
}
