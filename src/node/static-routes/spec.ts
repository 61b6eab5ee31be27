import { type Document, LineCounter, parseDocument } from "yaml";
import { messageOf } from "../../system/error-text.ts";
import { type Cidr, formatCidr, overlaps, parseAddress, parseCidr } from "../cidr.ts";
import { NodeToolError } from "../node-tool-error.ts";

/** A route that is wanted. */
export interface StaticRoute {
  /** IPv4, never the default route. */
  readonly destination: Cidr;
  /** Absent: that of the default route by `dev`. `none`: no gateway, the destination is on the link itself. */
  readonly gateway?: string;
  /** Absent: that of the link which the gateway is on, else the default route's. */
  readonly dev?: string;
  /** Lower wins; default 0, which wins over everything as narrow. */
  readonly metric: number;
}

/** What a specification file asks for. */
export interface StaticRoutesSpec {
  /** False: as if there were no routes. */
  readonly enabled: boolean;
  readonly routes: readonly StaticRoute[];
}

const MAX_ROUTES = 10_000;
const MAX_METRIC = 2 ** 32 - 1;
const TOP_KEYS = ["enabled", "routes"];
const ROUTE_KEYS = ["destination", "gateway", "dev", "metric"];
const RESERVED = [
  ["127.0.0.0/8", "loopback"],
  ["224.0.0.0/4", "multicast"],
  ["0.0.0.0/8", "this network's own"],
] as const;

/** In place of a gateway: the destination is on the link itself. */
export const NO_GATEWAY = "none";

/** The routes in force. */
export function wantedRoutes({ enabled, routes }: StaticRoutesSpec): readonly StaticRoute[] {
  return enabled ? routes : [];
}

/**
 * Reads a specification: YAML or JSON, `{enabled, routes: [{destination, gateway?, dev?, metric?}]}`. Every fault is told at once, each with its
 * field and the fix. Throws {@link NodeToolError} `invalid`.
 */
export function parseSpec(text: string, file: string): StaticRoutesSpec {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const [error] = document.errors;
  if (error) {
    const { line, col } = lines.linePos(error.pos[0]);
    throw new NodeToolError("invalid", `${file}:${line}:${col}: ${error.message.split("\n", 1)[0] ?? ""}`);
  }
  const faults: string[] = [];
  const spec = readSpec(valueOf(document, file), faults);
  if (faults.length > 0) throw new NodeToolError("invalid", `${file}: ${faults.join("\n")}`);
  return spec;
}

function valueOf(document: Document, file: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 0 });
  } catch (cause) {
    throw new NodeToolError("invalid", `${file}: ${messageOf(cause)}`, {
      cause,
      fix: "write each entry out: aliases (*name) are not read",
    });
  }
}

function readSpec(value: unknown, faults: string[]): StaticRoutesSpec {
  const top = record(value, "the file", faults);
  unknownKeys(top, TOP_KEYS, "", faults);
  const { enabled } = top;
  const routes = enabled === false && top["routes"] === undefined ? [] : top["routes"];
  if (typeof enabled !== "boolean") faults.push(`enabled must be true or false; it is ${shown(enabled)}`);
  if (!Array.isArray(routes)) {
    faults.push(`routes must be a list, perhaps an empty one; it is ${shown(routes)}`);
    return { enabled: false, routes: [] };
  }
  if (routes.length > MAX_ROUTES) faults.push(`routes must hold at most ${MAX_ROUTES} entries`);
  const read = routes.flatMap((route, index) => readRoute(route, `routes[${index}]`, faults) ?? []);
  duplicates(read, faults);
  return { enabled: enabled === true, routes: read };
}

function readRoute(value: unknown, at: string, faults: string[]): StaticRoute | undefined {
  const before = faults.length;
  const entry = record(value, at, faults);
  if (faults.length > before) return undefined;
  unknownKeys(entry, ROUTE_KEYS, `${at}.`, faults);
  const { dev, metric = 0 } = entry;
  const destination = readDestination(entry["destination"], `${at}.destination`, faults);
  const gateway = readGateway(entry["gateway"], `${at}.gateway`, faults);
  if (dev !== undefined && (typeof dev !== "string" || !/^[A-Za-z0-9_][\w.:-]{0,14}$/.test(dev)))
    faults.push(`${at}.dev must be the name of an interface, such as eth0; it is ${shown(dev)}`);
  if (typeof metric !== "number" || !Number.isInteger(metric) || metric < 0 || metric > MAX_METRIC)
    faults.push(`${at}.metric must be an integer from 0 to ${MAX_METRIC}; it is ${shown(metric)}`);
  if (
    destination?.prefixLength === 32 &&
    gateway !== undefined &&
    formatCidr(destination) === `${gateway}/32`
  )
    faults.push(`${at}.gateway must not be the destination itself: leave it out, or name another`);
  if (faults.length > before || !destination) return undefined;
  return {
    destination,
    ...(gateway !== undefined && { gateway }),
    ...(typeof dev === "string" && { dev }),
    metric: Number(metric),
  };
}

function readDestination(value: unknown, at: string, faults: string[]): Cidr | undefined {
  if (typeof value !== "string") {
    faults.push(`${at} must be a CIDR such as 172.16.5.0/24; it is ${shown(value)}`);
    return undefined;
  }
  let cidr: Cidr;
  try {
    cidr = parseCidr(value, at);
  } catch (error) {
    if (!(error instanceof NodeToolError)) throw error;
    faults.push(`${error.message}: ${error.fix}`);
    return undefined;
  }
  if (cidr.family === 6) {
    faults.push(`${at} ${shown(value)} is IPv6: static-routes is for IPv4 only, take it out`);
    return undefined;
  }
  if (cidr.prefixLength === 0) {
    faults.push(`${at} must not be the default route: the others are resolved from that`);
    return undefined;
  }
  const reserved = RESERVED.find(([block]) => overlaps(parseCidr(block, "a block"), cidr));
  if (reserved)
    faults.push(`${at} ${shown(value)} overlaps ${reserved[0]}, which is ${reserved[1]}: take it out`);
  return cidr;
}

function readGateway(value: unknown, at: string, faults: string[]): string | undefined {
  if (value === undefined) return undefined;
  const address = typeof value === "string" ? parseAddress(value) : undefined;
  if (value === NO_GATEWAY) return NO_GATEWAY;
  if (typeof value === "string" && address?.family === 4) return value;
  const why =
    address?.family === 6
      ? "static-routes is for IPv4 only"
      : "four decimal numbers without leading zeros, such as 192.168.0.1";
  faults.push(`${at} must be an IPv4 address (${why}), or none; it is ${shown(value)}`);
  return undefined;
}

function duplicates(routes: readonly StaticRoute[], faults: string[]): void {
  const seen = new Set<string>();
  for (const { destination, metric } of routes) {
    const key = `${formatCidr(destination)} with metric ${metric}`;
    if (seen.has(key)) faults.push(`routes holds ${key} twice: take one out, or give it another metric`);
    seen.add(key);
  }
}

function record(value: unknown, at: string, faults: string[]): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return Object.fromEntries(Object.entries(value));
  faults.push(`${at} must be an object; it is ${shown(value)}`);
  return {};
}

function unknownKeys(
  value: Readonly<Record<string, unknown>>,
  known: readonly string[],
  prefix: string,
  faults: string[],
): void {
  for (const key of Object.keys(value))
    if (!known.includes(key)) faults.push(`${prefix}${key} is unknown: known are ${known.join(", ")}`);
}

function shown(value: unknown): string {
  if (value === undefined) return "missing";
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
