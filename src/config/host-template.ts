import { z } from "zod";
import { DOMAIN } from "./field-types.ts";

/** A shape of Host with placeholders, such as `{name}.{namespace}.example.dev:80`. */
export const hostTemplate = z.string().superRefine((value, context) => {
  const message = templateFault(value);
  if (message) context.addIssue({ code: "custom", message });
});

const PLACEHOLDERS: ReadonlySet<string> = new Set(["{id}", "{name}", "{namespace}", "{port}"]);

/**
 * Says what is wrong with a host template, or `undefined`: the rules of the proxy's own compiler, told here so that
 * the fault has a line and a column.
 */
function templateFault(template: string): string | undefined {
  const used: readonly string[] = template.match(/\{[^{}]*\}/g) ?? [];
  const has = (word: string) => used.includes(word);
  const stranger = used.find((word) => !PLACEHOLDERS.has(word));
  if (stranger) return `must not use ${stranger}: known are ${[...PLACEHOLDERS].join(", ")}`;
  if (new Set(used).size < used.length) return "must not use a placeholder twice";
  if (has("{id}") === has("{name}") || has("{name}") !== has("{namespace}")) {
    return "must hold either {id}, or both {name} and {namespace}";
  }
  const [host = "", port, ...more] = template.split(":");
  if (port !== undefined && (more.length > 0 || !/^[1-9]\d{0,4}$/.test(port) || Number(port) > 65_535)) {
    return "must end in a port from 1 to 65535 after its colon";
  }
  if (port !== undefined && has("{port}")) return "must not hold {port} beside a port after a colon";
  const labels = host.split(".");
  if (labels.length < 2 || labels.at(-1)?.includes("{")) return "must end in a domain without placeholders";
  if (labels.some((label) => /\{(id|name|namespace)\}.*\{(id|name|namespace)\}/.test(label))) {
    return "must not hold two names in one label";
  }
  if (labels.some((label) => /\}[^{]*\d[^{]*\{|\}\{/.test(label))) {
    return "must part {port} from a name in its label by - or letters";
  }
  return DOMAIN.test(host.replaceAll(/\{[^{}]*\}/g, "x"))
    ? undefined
    : "must be a lower-case host name around its placeholders";
}
