import type { TargetParser, TargetResult } from "./target.ts";

/** What a Host alone says of a request. */
export interface HostTarget {
  readonly host: string;
  /** Its path is not the request's. */
  readonly target: TargetResult;
}

/** Hosts that are remembered. Clients choose them, so there is an end to it: then all are forgotten. */
const MAX_HOSTS = 20_000;
const MAX_HOST_LENGTH = 512;

/** The targets of requests that only their Host names (see {@link TargetParser.fields}), worked out once for each Host. */
export class HostTargets {
  readonly #parseTarget: TargetParser;
  readonly #known = new Map<string, HostTarget>();

  constructor(parseTarget: TargetParser) {
    this.#parseTarget = parseTarget;
  }

  of(host: string): HostTarget {
    return this.#known.get(host) ?? this.#add(host);
  }

  #add(host: string): HostTarget {
    const found = {
      host,
      target: this.#parseTarget({ method: "GET", target: "/", rawHeaders: ["Host", host] }),
    };
    if (host.length > MAX_HOST_LENGTH) return found;
    if (this.#known.size >= MAX_HOSTS) this.#known.clear();
    this.#known.set(host, found);
    return found;
  }
}
