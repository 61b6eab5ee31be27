import type { Problem } from "./config-error.ts";
import type { RawValue, SourceReading } from "./raw-value.ts";
import { fromText } from "./raw-value.ts";
import { formerly } from "./former-names.ts";
import { SETTINGS, VARIABLE_PREFIX } from "./settings.ts";
import { nearest } from "./suggest.ts";

/** The variable that names the configuration file, as `--config` does. */
export const FILE_VARIABLE = "LYCHGATE_CONFIG";

const byVariable = new Map(SETTINGS.map((setting) => [setting.variable, setting]));

/**
 * Kubernetes puts variables of this form into every pod for every Service of its namespace ("Discovering services:
 * environment variables"): a Service named `lychgate` would otherwise stop every router beside it.
 */
const SERVICE_HOST_OR_PORT = /_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$/;
const SERVICE_LINK = /_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$/;

/** What the environment says. */
export interface EnvironmentReading extends SourceReading {
  /** `LYCHGATE_CONFIG`; empty counts as not set. */
  readonly file: string | undefined;
}

/** Reads the `LYCHGATE_*` variables and looks at no other. Unknown ones are problems. */
export function readEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): EnvironmentReading {
  const values: RawValue[] = [];
  const problems: Problem[] = [];
  for (const name of Object.keys(environment)) {
    if (!name.startsWith(VARIABLE_PREFIX) || name === FILE_VARIABLE) continue;
    const text = environment[name];
    if (text === undefined) continue;
    const origin = { kind: "environment", name } as const;
    const setting = byVariable.get(name);
    const former = setting ? undefined : formerly(name);
    if (setting) values.push({ setting, value: fromText(setting, text), origin });
    else if (former)
      values.push({ setting: former, value: fromText(former, text), origin, formerName: name });
    else if (!isServiceVariable(name, text)) {
      const near = nearest(name, [...byVariable.keys(), FILE_VARIABLE]);
      problems.push({
        code: "unknown_key",
        origin,
        message: `unknown variable${near ? `; did you mean ${near}?` : ""}`,
      });
    }
  }
  return { values, problems, file: environment[FILE_VARIABLE] || undefined };
}

function isServiceVariable(name: string, value: string): boolean {
  if (SERVICE_HOST_OR_PORT.test(name)) return true;
  return SERVICE_LINK.test(name) && (/_(TCP|UDP|SCTP)_/.test(name) || /^(tcp|udp|sctp):\/\//.test(value));
}
