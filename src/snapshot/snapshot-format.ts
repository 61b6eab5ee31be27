import { isObjectName } from "../routes/names.ts";
import type { ObjectFacts, ScopeSnapshot, TableSnapshot } from "../routes/object-facts.ts";
import { NOTHING_SEEN, parseResourceVersion, type ResourceVersion } from "../routes/resource-version.ts";
import { realNamespace } from "../routes/provider.ts";
import { isWakeState, namespaceAndName, objectKey, type ObjectKey, type Route } from "../routes/route.ts";
import { SnapshotFault } from "./snapshot-fault.ts";

/*
 * A snapshot is text, one JSON value in a line: a head, a line for each object, and an end with the watermarks. A later line of
 * an object replaces an earlier one, and a line without facts takes it out, so that a snapshot can be written while the table
 * goes on. Whoever stores it adds a checksum.
 */

/** The format that is written, and the only one that is read. To be raised by each change that an older reader would misread. */
export const SNAPSHOT_FORMAT = 1;

/** Of which cluster a snapshot is, as far as a router can tell. */
export interface SnapshotSource {
  /** URL of the API server, without credentials. */
  readonly server: string;
  readonly selector: string;
  /** Names of the watched scopes. */
  readonly scopes: readonly string[];
}

/** The first line. */
export function headLine({ server, selector, scopes }: SnapshotSource): string {
  const head = { lychgate: "snapshot", format: SNAPSHOT_FORMAT, server, selector, scopes };
  return `${JSON.stringify(head)}\n`;
}

/** The line of one object; `facts` is undefined when nothing is known of it any more. */
export function objectLine(key: ObjectKey, facts: ObjectFacts | undefined): string {
  const [namespace, name] = namespaceAndName(key);
  const { confirmed, hold, hint, tombstone, read, doubt } = facts ?? {};
  // `undefined` leaves a field out.
  const line = {
    namespace,
    name,
    confirmed: confirmed && {
      uid: confirmed.uid,
      resourceVersion: confirmed.resourceVersion,
      route: confirmed.route && fieldsOf(confirmed.route),
    },
    hold,
    hint: hint && {
      from: hint.from,
      trusted: hint.trusted,
      resourceVersion: hint.route.resourceVersion,
      uid: hint.route.uid,
      route: fieldsOf(hint.route),
    },
    tombstone: tombstone && {
      from: tombstone.from,
      trusted: tombstone.trusted,
      version: tombstone.version,
    },
    read,
    doubt,
  };
  return `${JSON.stringify(line)}\n`;
}

/** The last line. */
export function endLine(takenAtMs: number, scopes: readonly ScopeSnapshot[], lines: number): string {
  const end = {
    takenAtMs,
    lines,
    scopes: scopes.map(({ name, watermark, barredUntil }) => ({ name, watermark, barredUntil })),
  };
  return `${JSON.stringify({ end })}\n`;
}

/** Key, UID and version stand beside the route. */
function fieldsOf(route: Route): object {
  const { id, owner, ip, state, accessToken, requireTrafficAuth, shutdownAtMs, podUid, wake } = route;
  const { access, previewEpoch } = route;
  const flags = { accessToken, requireTrafficAuth, shutdownAtMs, podUid, wake, access, previewEpoch };
  return { id, owner, ip, state, ...flags };
}

/** Reads the lines of one snapshot, in order. All methods throw {@link SnapshotFault}. */
export class SnapshotLines {
  readonly #expected: SnapshotSource;
  readonly #objects = new Map<ObjectKey, ObjectFacts>();
  #lines = 0;
  #hasHead = false;
  #end: { readonly takenAtMs: number; readonly scopes: readonly ScopeSnapshot[] } | undefined;

  /** @param expected whose snapshot it must be. */
  constructor(expected: SnapshotSource) {
    this.#expected = expected;
  }

  /** Takes one line, without its end. */
  take(text: string): void {
    this.#lines += 1;
    const line = recordOf(parsed(text, this.#lines), this.#lines);
    if (this.#end) throw damaged(this.#lines, "something follows the end");
    if (!this.#hasHead) this.#takeHead(line);
    else if (line["end"] !== undefined) this.#takeEnd(recordOf(line["end"], this.#lines));
    else this.#takeObject(line);
  }

  /** The whole, once every line was taken. */
  finish(): TableSnapshot {
    if (!this.#end) throw new SnapshotFault("damaged", `it ends after ${this.#lines} lines without its last`);
    return { ...this.#end, objects: [...this.#objects.values()] };
  }

  #takeHead(line: JsonRecord): void {
    if (line["lychgate"] !== "snapshot") throw damaged(this.#lines, "it does not begin as a snapshot does");
    const { format } = line;
    if (format !== SNAPSHOT_FORMAT) {
      const message = `its format is ${JSON.stringify(format)}, and this version of Lychgate reads ${SNAPSHOT_FORMAT}`;
      throw new SnapshotFault("unknown_format", message);
    }
    const { server, selector, scopes } = this.#expected;
    if (line["server"] !== server) throw foreign("API server", server);
    if (line["selector"] !== selector) throw foreign("selector", selector);
    const theirs = line["scopes"];
    const same =
      Array.isArray(theirs) && theirs.length === scopes.length && scopes.every((s) => theirs.includes(s));
    if (!same) throw foreign("set of namespaces", scopes.map((scope) => scope || "all").join(", "));
    this.#hasHead = true;
  }

  #takeEnd(end: JsonRecord): void {
    const line = this.#lines;
    const { takenAtMs, scopes } = end;
    if (typeof takenAtMs !== "number" || !Array.isArray(scopes)) throw damaged(line, "its end is not whole");
    if (end["lines"] !== line) throw damaged(line, "lines are missing");
    this.#end = {
      takenAtMs,
      scopes: scopes.map((item: unknown) => {
        const scope = recordOf(item, line);
        const barredUntil = scope["barredUntil"];
        return {
          name: stringIn(scope, "name", line),
          // A scope that had delivered nothing yet.
          watermark: scope["watermark"] === NOTHING_SEEN ? NOTHING_SEEN : versionIn(scope, "watermark", line),
          barredUntil: barredUntil === undefined ? undefined : versionIn(scope, "barredUntil", line),
        };
      }),
    };
  }

  #takeObject(object: JsonRecord): void {
    const line = this.#lines;
    const namespace = stringIn(object, "namespace", line);
    const name = stringIn(object, "name", line);
    if (!isObjectName(realNamespace(namespace), name)) throw damaged(line, "no object has such a name");
    const part = (key: string): JsonRecord | undefined =>
      object[key] === undefined ? undefined : recordOf(object[key], line);
    const [confirmed, hold, hint, tombstone] = [
      part("confirmed"),
      part("hold"),
      part("hint"),
      part("tombstone"),
    ];
    const key = objectKey(namespace, name);
    const doubt = part("doubt");
    if (!confirmed && !hint && !tombstone && !doubt && object["read"] === undefined) {
      this.#objects.delete(key);
      return;
    }
    this.#objects.set(key, {
      namespace,
      name,
      confirmed: confirmed && {
        uid: stringIn(confirmed, "uid", line),
        resourceVersion: versionIn(confirmed, "resourceVersion", line),
        route: confirmed["route"] === undefined ? undefined : routeOf(namespace, name, confirmed, line),
      },
      hold: hold && { after: afterIn(hold, line), by: versionIn(hold, "by", line) },
      hint: hint && {
        from: stringIn(hint, "from", line),
        trusted: hint["trusted"] === true,
        route: routeOf(namespace, name, hint, line),
        isRelayed: true,
      },
      tombstone: tombstone && {
        from: stringIn(tombstone, "from", line),
        trusted: tombstone["trusted"] === true,
        version: versionIn(tombstone, "version", line),
        isRelayed: true,
      },
      read: object["read"] === undefined ? undefined : versionIn(object, "read", line),
      doubt: doubt && {
        ids: textsIn(doubt, "ids", line),
        ips: textsIn(doubt, "ips", line),
        isPartlyKept: doubt["isPartlyKept"] === true,
      },
    });
  }
}

function foreign(what: string, here: string): SnapshotFault {
  return new SnapshotFault("foreign", `it was made of another ${what}: this router has ${here || "none"}`);
}

type JsonRecord = Readonly<Record<string, unknown>>;

function damaged(line: number, what: string): SnapshotFault {
  return new SnapshotFault("damaged", `line ${line}: ${what}`);
}

function parsed(text: string, line: number): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The error of JSON.parse quotes the text, which may hold a token.
    throw damaged(line, "it is no JSON");
  }
}

function recordOf(value: unknown, line: number): JsonRecord {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw damaged(line, "it is no JSON object");
  }
  return value as JsonRecord;
}

function stringIn(record: JsonRecord, field: string, line: number): string {
  const value = record[field];
  if (typeof value !== "string") throw damaged(line, `${field} is no text`);
  return value;
}

function textsIn(record: JsonRecord, field: string, line: number): readonly string[] {
  const value: unknown = record[field];
  if (!Array.isArray(value)) throw damaged(line, `${field} is no list`);
  return value.map(String);
}

function versionIn(record: JsonRecord, field: string, line: number): ResourceVersion {
  const version = parseResourceVersion(record[field]);
  if (version === undefined) throw damaged(line, `${field} is no resourceVersion`);
  return version;
}

/** What an object's address is known to be younger than may be nothing. */
function afterIn(hold: JsonRecord, line: number): ResourceVersion {
  return hold["after"] === NOTHING_SEEN ? NOTHING_SEEN : versionIn(hold, "after", line);
}

function routeOf(namespace: string, name: string, fact: JsonRecord, line: number): Route {
  const route = recordOf(fact["route"], line);
  const { requireTrafficAuth, shutdownAtMs, podUid, wake, access, previewEpoch } = route;
  if (typeof requireTrafficAuth !== "boolean") throw damaged(line, "requireTrafficAuth is no boolean");
  if (shutdownAtMs !== undefined && typeof shutdownAtMs !== "number")
    throw damaged(line, "shutdownAtMs is no number");
  if (wake !== undefined && !isWakeState(wake)) throw damaged(line, "wake is no word for it");
  return {
    namespace,
    name,
    id: stringIn(route, "id", line),
    uid: stringIn(fact, "uid", line),
    owner: stringIn(route, "owner", line),
    ip: stringIn(route, "ip", line),
    state: stringIn(route, "state", line),
    resourceVersion: versionIn(fact, "resourceVersion", line),
    accessToken: stringIn(route, "accessToken", line),
    requireTrafficAuth,
    shutdownAtMs,
    podUid: podUid === undefined ? undefined : stringIn(route, "podUid", line),
    wake,
    access: access === undefined ? undefined : stringIn(route, "access", line),
    previewEpoch: previewEpoch === undefined ? undefined : stringIn(route, "previewEpoch", line),
  };
}
