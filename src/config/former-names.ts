import type { Problem } from "./config-error.ts";
import type { RawValue } from "./raw-value.ts";
import type { Setting, SettingValue } from "./settings.ts";
import { flagOf, settingOf, variableOf } from "./settings.ts";

/** Keys that have another name now, old to new. An old name works for one version after the change (CHANGELOG.md). */
const RENAMED: readonly (readonly [former: string, key: string])[] = [
  ["peers.claimTtlMs", "peers.hintTtlMs"],
  ["peers.maxClaims", "peers.maxHints"],
  ["host.overlapMode", "node.overlapMode"],
  ["host.overlapCidrs", "node.overlapCidrs"],
  ["host.overlapInterfaces", "node.overlapInterfaces"],
  ["host.overlapIntervalMs", "node.overlapIntervalMs"],
];

/** Values that are written in another way now, by key: each works for one version after the change (CHANGELOG.md). */
const REWRITTEN: ReadonlyMap<string, ReadonlyMap<unknown, SettingValue>> = new Map([
  [
    "client.sharedReadBuffer",
    new Map<unknown, SettingValue>([
      [true, "on"],
      ["true", "on"],
      [false, "off"],
      ["false", "off"],
    ]),
  ],
]);

const bySpelling = new Map(
  RENAMED.flatMap(([former, key]) => {
    const setting = settingOf(key);
    if (!setting) throw new Error(`${key}, the new name of ${former}, is no setting`);
    return [former, variableOf(former)].map((spelling) => [spelling, setting] as const);
  }),
);

/** Sections of a configuration file in which only former names stand. */
export const FORMER_SECTIONS: ReadonlySet<string> = new Set(["host"]);

/** The flags, without their dashes, that `settings` had before. */
export function formerFlags(settings: readonly Setting[]): ReadonlyMap<string, Setting> {
  return new Map(
    RENAMED.flatMap(([former, key]) => {
      const setting = settings.find((candidate) => candidate.key === key);
      return setting ? [[flagOf(former).slice(2), setting] as const] : [];
    }),
  );
}

/** The setting that a former key or environment variable stands for. */
export function formerly(spelling: string): Setting | undefined {
  return bySpelling.get(spelling);
}

/** The same with a former value as it is written now. */
export function withPresentValue(raw: RawValue): RawValue {
  const value = REWRITTEN.get(raw.setting.key)?.get(raw.value);
  return value === undefined ? raw : { ...raw, value, formerValue: String(raw.value) };
}

/** What to tell whoever gave a value under a former name, or a former value: formatted as a problem is, but it is none. */
export function formerNameWarning({
  setting,
  value,
  origin,
  formerName,
  formerValue,
}: RawValue): Omit<Problem, "code"> | undefined {
  if (formerName === undefined && formerValue === undefined) return undefined;
  const spelled =
    origin.kind === "flag" ? setting.flag : origin.kind === "environment" ? setting.variable : setting.key;
  if (formerValue !== undefined) {
    const message = `${spelled} ${formerValue} is written ${String(value)} now; the old value ends with the next version`;
    return { origin, key: setting.key, message };
  }
  return {
    origin,
    key: setting.key,
    message: `${formerName} is called ${spelled} now; the old name ends with the next version`,
  };
}
