import { isIP } from "node:net";
import { NOTHING_SEEN, parseResourceVersion, type ResourceVersion } from "../../routes/resource-version.ts";
import { isWakeState, type Route } from "../../routes/route.ts";
import { FAN_OUT } from "./range-digests.ts";
import { EXCHANGE_FORMAT, type FactsPage, type ReplicaDigest } from "./replica.ts";
import type { ReplicaFact, ReplicaScope } from "./replica-fact.ts";

/** A replica's answer is not what it should be. The message holds nothing of it, since there may be a token. */
export class ExchangeFault extends Error {
  override readonly name = "ExchangeFault";
}

/** The answer to `GET /anti-entropy/digest`. */
export function digestJson(digest: ReplicaDigest): string {
  return JSON.stringify({ format: EXCHANGE_FORMAT, ...digest });
}

/** Reads {@link digestJson}. Throws {@link ExchangeFault}, as all readers here. */
export function readDigest(text: string): ReplicaDigest {
  const answer = recordOf(parsed(text));
  if (answer["format"] !== EXCHANGE_FORMAT) {
    throw new ExchangeFault(`it speaks format ${JSON.stringify(answer["format"])}, not ${EXCHANGE_FORMAT}`);
  }
  return {
    instance: textIn(answer, "instance"),
    selector: textIn(answer, "selector"),
    scopes: scopesIn(answer),
    root: textIn(answer, "root"),
    branches: digestsIn(answer["branches"]),
  };
}

/** The answer to `GET /anti-entropy/leaves?branch=`. */
export function leavesJson(leaves: readonly string[]): string {
  return JSON.stringify({ leaves });
}

export function readLeaves(text: string): readonly string[] {
  return digestsIn(recordOf(parsed(text))["leaves"]);
}

/** The answer to `GET /anti-entropy/facts?leaf=&after=`. Holds access tokens. */
export function factsJson(page: FactsPage): string {
  return JSON.stringify(page);
}

export function readFacts(text: string): FactsPage {
  const answer = recordOf(parsed(text));
  return {
    scopes: scopesIn(answer),
    facts: arrayOf(answer["facts"]).map(factOf),
    next: answer["next"] === undefined ? undefined : textIn(answer, "next"),
  };
}

type JsonRecord = Readonly<Record<string, unknown>>;

function factOf(item: unknown): ReplicaFact {
  const fact = recordOf(item);
  const key = { namespace: textIn(fact, "namespace"), name: textIn(fact, "name") };
  switch (fact["kind"]) {
    case "hearsay":
      return { ...key, kind: "hearsay" };
    case "deletion":
      return { ...key, kind: "deletion", version: versionIn(fact, "version") };
    case "route":
      return { ...key, kind: "route", route: routeOf(key, recordOf(fact["route"])) };
    default:
      throw new ExchangeFault("it offers a fact of a kind that this version does not know");
  }
}

function routeOf(key: Pick<Route, "namespace" | "name">, route: JsonRecord): Route {
  const { requireTrafficAuth, shutdownAtMs, podUid, wake, access, previewEpoch } = route;
  const ip = textIn(route, "ip");
  return {
    ...key,
    id: textIn(route, "id"),
    uid: textIn(route, "uid"),
    owner: textIn(route, "owner"),
    // As of a push: a text that is no IP is never dialled.
    ip: isIP(ip) !== 0 && !ip.includes("%") ? ip : "",
    state: textIn(route, "state"),
    resourceVersion: versionIn(route, "resourceVersion"),
    accessToken: textIn(route, "accessToken"),
    requireTrafficAuth: requireTrafficAuth === true,
    shutdownAtMs: typeof shutdownAtMs === "number" ? shutdownAtMs : undefined,
    podUid: typeof podUid === "string" ? podUid : undefined,
    wake: isWakeState(wake) ? wake : undefined,
    access: typeof access === "string" ? access : undefined,
    previewEpoch: typeof previewEpoch === "string" ? previewEpoch : undefined,
  };
}

function scopesIn(record: JsonRecord): readonly ReplicaScope[] {
  return arrayOf(record["scopes"]).map((item) => {
    const scope = recordOf(item);
    const isNothing = scope["watermark"] === NOTHING_SEEN;
    return {
      name: textIn(scope, "name"),
      watched: scope["watched"] === true,
      watermark: isNothing ? NOTHING_SEEN : versionIn(scope, "watermark"),
    };
  });
}

function digestsIn(value: unknown): readonly string[] {
  const digests = arrayOf(value);
  if (digests.length !== FAN_OUT) throw new ExchangeFault(`it has ${digests.length} ranges, not ${FAN_OUT}`);
  return digests.map(String);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ExchangeFault("it is no JSON");
  }
}

function recordOf(value: unknown): JsonRecord {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new ExchangeFault("a part of it is no JSON object");
  return value as JsonRecord;
}

function arrayOf(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new ExchangeFault("a part of it is no list");
  return value;
}

function textIn(record: JsonRecord, field: string): string {
  const value = record[field];
  if (typeof value !== "string") throw new ExchangeFault(`its ${field} is no text`);
  return value;
}

function versionIn(record: JsonRecord, field: string): ResourceVersion {
  const version = parseResourceVersion(record[field]);
  if (version === undefined) throw new ExchangeFault(`its ${field} is no resourceVersion`);
  return version;
}
