import type { Observation } from "../../../src/routes/observation.ts";
import type { ResourceVersion } from "../../../src/routes/resource-version.ts";
import { objectKey, type ObjectKey, type Route } from "../../../src/routes/route.ts";

/** What can happen to one sandbox, in the words of its life. */
export const HAPPENINGS = ["run-x", "run-y", "pause", "unready", "ending", "gone"] as const;
export type Happening = (typeof HAPPENINGS)[number];

/** Something that truly happened, at a version. `route` is absent when the object is ending or gone. */
export interface Moment {
  readonly version: number;
  readonly key: ObjectKey;
  /** As the table knows it: that of another CRD's object begins with its provider. */
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly happening: Happening;
  readonly route: Route | undefined;
  readonly gone: boolean;
}

export const rv = (version: number): ResourceVersion => String(version) as ResourceVersion;

export function makeRoute(name: string, version: number, fields: Partial<Route> = {}): Route {
  return {
    namespace: "ns",
    name,
    id: `ns--${name}`,
    uid: `${name}-1`,
    owner: "",
    ip: "10.0.0.1",
    state: "running",
    accessToken: "",
    requireTrafficAuth: false,
    ...fields,
    resourceVersion: rv(version),
  };
}

export function observe(route: Route): Observation {
  const { namespace, name, uid, resourceVersion } = route;
  return { namespace, name, uid, resourceVersion, route };
}

/**
 * The true course of events: versions 10, 20, 30 … in the order given. Steps that make no sense (an object that is gone
 * cannot pause) are left out, so that any list of steps is a timeline. A name that comes back has a new UID.
 * `namespaceOf` gives the namespace of each name.
 */
export function timeline(
  steps: readonly (readonly [name: string, happening: Happening])[],
  namespaceOf: (name: string) => string = () => "ns",
): Moment[] {
  const lives = new Map<string, { uid: string; alive: boolean; ending: boolean; count: number }>();
  const moments: Moment[] = [];
  for (const [name, happening] of steps) {
    const life = lives.get(name) ?? { uid: "", alive: false, ending: false, count: 0 };
    lives.set(name, life);
    if (!life.alive && happening !== "run-x" && happening !== "run-y") continue;
    if (life.ending && happening !== "gone") continue;
    if (!life.alive)
      Object.assign(life, {
        alive: true,
        ending: false,
        count: life.count + 1,
        uid: `${name}-${life.count + 1}`,
      });
    const version = (moments.length + 1) * 10;
    const fields = routeFields(happening);
    if (happening === "ending") life.ending = true;
    if (happening === "gone") life.alive = false;
    const namespace = namespaceOf(name);
    moments.push({
      version,
      key: objectKey(namespace, name),
      namespace,
      name,
      uid: life.uid,
      happening,
      route: fields && makeRoute(name, version, { namespace, uid: life.uid, id: "shared", ...fields }),
      gone: happening === "gone",
    });
  }
  return moments;
}

function routeFields(happening: Happening): Partial<Route> | undefined {
  switch (happening) {
    case "run-x":
      return { ip: "10.0.0.1", id: "x" };
    case "run-y":
      return { ip: "10.0.0.2", id: "y" };
    case "pause":
      return { ip: "", state: "paused", id: "x" };
    case "unready":
      return { ip: "10.0.0.1", state: "dead", id: "x" };
    case "ending":
    case "gone":
      return undefined;
  }
}

/** What lives at a version: the last moment of each object that is not gone. */
export function stateOf(moments: readonly Moment[], version: number): Moment[] {
  const last = new Map<ObjectKey, Moment>();
  for (const moment of moments) if (moment.version <= version) last.set(moment.key, moment);
  return [...last.values()].filter((moment) => !moment.gone);
}

export function observationOf(moment: Moment): Observation {
  return {
    namespace: moment.namespace,
    name: moment.name,
    uid: moment.uid,
    resourceVersion: rv(moment.version),
    route: moment.route,
  };
}
