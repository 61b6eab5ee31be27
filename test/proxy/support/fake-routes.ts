import type {
  EndReason,
  Incarnation,
  Lookup,
  RouteInEffect,
  RouteLookup,
} from "../../../src/routes/lookup.ts";
import { parseResourceVersion } from "../../../src/routes/resource-version.ts";
import type { Route } from "../../../src/routes/route.ts";
import type { Upstreams } from "../../../src/proxy/upstream/upstreams.ts";

let lastNumber = 0;

/** A new incarnation with this IP. */
export function incarnationAt(ip: string): Incarnation {
  lastNumber += 1;
  return { number: lastNumber, key: `ns/box-${lastNumber}`, uid: `uid-${lastNumber}`, ip };
}

/** A table with the read side only, changed by hand. */
export class FakeRoutes implements RouteLookup {
  synced = true;
  /** IDs in doubt: requests for them are held. */
  readonly held = new Set<string>();
  readonly #found = new Map<string, Extract<Lookup, { kind: "found" }>>();

  /** A running sandbox; a second call with the same ID is its next life. */
  run(id: string, ip = "127.0.0.1", accessToken = "", readyAtS?: number): Incarnation {
    const incarnation = { ...incarnationAt(ip), readyAtS };
    const version = parseResourceVersion("1");
    if (!version) throw new Error("unreachable");
    const route: Route = {
      namespace: "ns",
      name: id,
      id,
      uid: incarnation.uid,
      owner: "",
      ip,
      state: "running",
      resourceVersion: version,
      accessToken,
      requireTrafficAuth: false,
    };
    this.#found.set(id, { kind: "found", route, state: "running", incarnation, ipReassigned: false });
    return incarnation;
  }

  /** Ends the present life, as the table would tell it. */
  end(id: string, reason: EndReason, upstreams: Upstreams): void {
    const found = this.#found.get(id);
    if (!found?.incarnation) throw new Error(`${id} does not run`);
    this.#found.set(id, { ...found, state: reason, incarnation: undefined });
    upstreams.incarnationEnded(found.incarnation, reason);
  }

  /** The present life ends as the owner pauses it, and traffic may wake it. Returns what `routeChanged` tells. */
  sleep(id: string, state = "paused"): RouteInEffect {
    const found = this.#found.get(id);
    if (!found) throw new Error(`${id} was never there`);
    const route: Route = { ...found.route, state, wake: "asleep" };
    const asleep: RouteInEffect = { ...found, route, state, incarnation: undefined };
    this.#found.set(id, asleep);
    return asleep;
  }

  /** The sandbox runs again, as the same object. Returns what `routeChanged` tells. */
  resume(id: string): RouteInEffect {
    const found = this.#found.get(id);
    if (!found) throw new Error(`${id} was never there`);
    const { uid, ip } = found.route;
    const incarnation: Incarnation = { ...incarnationAt(ip), uid };
    const route: Route = { ...found.route, state: "running", wake: undefined };
    const awake: RouteInEffect = { ...found, route, state: "running", incarnation };
    this.#found.set(id, awake);
    return awake;
  }

  remove(id: string): void {
    this.#found.delete(id);
  }

  lookup(id: string): Lookup {
    return this.#found.get(id.toLowerCase()) ?? { kind: "unknown" };
  }

  lookupObject(_namespace: string, name: string): Lookup {
    return this.lookup(name);
  }

  get doubtful(): number {
    return this.held.size;
  }

  isHeld(id: string): boolean {
    return this.held.has(id);
  }

  isObjectHeld(_namespace: string, name: string): boolean {
    return this.held.has(name);
  }
}
