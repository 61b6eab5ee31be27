import type { Milliseconds } from "../system/clock.ts";
import type { WakeState } from "../routes/route.ts";
import type { JsonObject } from "./json-fields.ts";

/** What is to be done to an object so that its sandbox runs. */
export type WakePlan =
  /** Send this as a JSON merge patch (RFC 7396). It names the object's UID and version: another object, or another version, refuses it. */
  | { readonly kind: "patch"; readonly body: JsonObject }
  /** Nothing: it is not told to sleep. It runs, or somebody else has woken it. */
  | { readonly kind: "awake" }
  /** Its owner does not let traffic wake it, or its time is over. */
  | { readonly kind: "not_allowed" }
  /** The object is gone or is going, and another may have its name. */
  | { readonly kind: "replaced" };

/** Of an object that may be woken: it sleeps while its spec says so, and until it runs it is on its way. */
export function wakeStateOf(mayBeWoken: boolean, asleep: boolean): WakeState | undefined {
  if (!mayBeWoken) return undefined;
  return asleep ? "asleep" : "resuming";
}

/** A patch of `spec` for exactly this version of this object. */
export function preconditioned(uid: string, resourceVersion: string, spec: JsonObject): JsonObject {
  return { metadata: { uid, resourceVersion }, spec };
}

const UNIT_MS: Readonly<Record<string, Milliseconds>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};

/** A metav1.Duration (`5m`, `1h30m`, `1.5s`; Go's `time.ParseDuration`) in milliseconds; `undefined` when it is none. */
export function parseDuration(value: unknown): Milliseconds | undefined {
  if (
    typeof value !== "string" ||
    !/^[+-]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)$/.test(value)
  )
    return undefined;
  let ms = 0;
  for (const [, number = "", unit = ""] of value.matchAll(/([\d.]+)([a-zµμ]+)/g)) {
    ms += Number(number) * (UNIT_MS[unit] ?? 0);
  }
  return value.startsWith("-") ? -ms : ms;
}

/** A time as metav1.Time is written: RFC 3339 with whole seconds. */
export function timeText(ms: Milliseconds): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
