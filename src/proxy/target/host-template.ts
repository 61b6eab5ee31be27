import { parsePort } from "./authority.ts";
import { TargetOptionsError } from "./target-options-error.ts";

/** What a template made of a host name. `port` is absent when neither says one. */
export type TemplateMatch =
  | { readonly kind: "id"; readonly id: string; readonly port: number | undefined }
  | {
      readonly kind: "object";
      readonly namespace: string;
      readonly name: string;
      readonly port: number | undefined;
    }
  | { readonly kind: "none" }
  | { readonly kind: "malformed"; readonly message: string; readonly sandbox?: string };

const PLACEHOLDERS = ["id", "name", "namespace", "port"] as const;
type Placeholder = (typeof PLACEHOLDERS)[number];

/** Literal text before, between and after at most two placeholders. */
interface LabelPattern {
  readonly literals: readonly string[];
  readonly placeholders: readonly Placeholder[];
}

const KNOWN = PLACEHOLDERS.map((name) => `{${name}}`).join(", ");
const NAME = /^[a-z0-9-]+$/;
/** Labels as DNS has them (RFC 1123 2.1), `_` among them, since internal domains use it. */
const HOST_NAME = /^(?=.{1,253}$)(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*$/;
const DIGITS = /^[0-9]+$/;
const NONE: TemplateMatch = { kind: "none" };

/**
 * Compiles a Host template such as `{name}.{namespace}.actors.resources.substrate.ate.dev`. Placeholders: `{id}` (a
 * routing ID), or `{name}` with `{namespace}` (an object), and optionally `{port}`; each stands for one or more of
 * `a-z0-9-` within one label. `:80` at the end is the sandbox's port when the Host has no `{port}`. A label may hold one
 * placeholder beside literal text, and `{port}` as well when literal text parts the two (`{port}-{id}`). The last label
 * is literal, so that a template is bound to a domain.
 *
 * The returned function takes a lower-case host without port and trailing dot; its cost is linear in the host.
 * Throws {@link TargetOptionsError} that names the template, and whose `fault` says what it must be.
 *
 * @example
 * ```ts
 * import { compileHostTemplate } from "./host-template.ts";
 *
 * const match = compileHostTemplate("{name}.{namespace}.actors.example.dev");
 * console.log(JSON.stringify(match("bo.team-a.actors.example.dev")));
 * // {"kind":"object","namespace":"team-a","name":"bo"}
 * ```
 */
export function compileHostTemplate(template: string): (host: string) => TemplateMatch {
  const fail = (fault: string): never => {
    throw new TargetOptionsError("bad_template", `template "${template}"`, fault);
  };
  const placeholders = template.match(/\{[^{}]*\}/g) ?? [];
  const stranger = placeholders.find((placeholder) => !isKnown(placeholder.slice(1, -1)));
  if (stranger !== undefined) fail(`must not use ${stranger}: known are ${KNOWN}`);
  if (new Set(placeholders).size < placeholders.length) fail("must not use a placeholder twice");
  const used = new Set(placeholders);
  if (used.has("{id}") === used.has("{name}") || used.has("{name}") !== used.has("{namespace}")) {
    fail("must hold either {id}, or both {name} and {namespace}");
  }
  const colon = template.indexOf(":");
  const fixedPort = colon === -1 ? undefined : parsePort(template.slice(colon + 1));
  if (colon !== -1 && fixedPort === undefined) fail("must end in a port from 1 to 65535 after its colon");
  if (colon !== -1 && used.has("{port}")) fail("must not hold {port} beside a port after a colon");
  const host = (colon === -1 ? template : template.slice(0, colon)).replace(/\.$/, "").toLowerCase();
  const labels = host.split(".");
  if (labels.length < 2 || labels.at(-1)?.includes("{")) fail("must end in a domain without placeholders");
  const patterns = labels.map((label) => compileLabel(label, fail));
  if (!HOST_NAME.test(host.replaceAll(/\{[^{}]*\}/g, "x")))
    fail("must be a host name around its placeholders");
  return (candidate) => match(patterns, candidate.split("."), fixedPort);
}

function isKnown(name: string): name is Placeholder {
  return (PLACEHOLDERS as readonly string[]).includes(name);
}

function compileLabel(label: string, fail: (fault: string) => never): LabelPattern {
  // split() with a group puts literals at even places and placeholder names at odd ones.
  const parts = label.split(/\{([^{}]*)\}/);
  const literals = parts.filter((_, index) => index % 2 === 0);
  const placeholders = parts.filter((part, index) => index % 2 === 1 && isKnown(part)) as Placeholder[];
  if (placeholders.length - Number(placeholders.includes("port")) > 1)
    fail("must not hold two names in one label");
  // A digit here would make it unclear where the port ends.
  if (placeholders.length === 2 && !/^[a-z_-]+$/.test(literals[1] ?? "")) {
    fail("must part {port} from a name in its label by - or letters");
  }
  return { literals, placeholders };
}

function match(
  patterns: readonly LabelPattern[],
  labels: readonly string[],
  fixedPort: number | undefined,
): TemplateMatch {
  if (labels.length !== patterns.length) return NONE;
  const values: Partial<Record<Placeholder, string>> = {};
  for (const [index, pattern] of patterns.entries()) {
    if (!matchLabel(pattern, labels[index] ?? "", values)) return NONE;
  }
  const port = values.port === undefined ? fixedPort : parsePort(values.port);
  const { id, name, namespace } = values;
  if (values.port !== undefined && port === undefined) {
    return {
      kind: "malformed",
      message: "the port in the Host must be 1 to 65535",
      sandbox: id ?? `${namespace}/${name}`,
    };
  }
  if (id !== undefined) return { kind: "id", id, port };
  return name === undefined || namespace === undefined ? NONE : { kind: "object", namespace, name, port };
}

function matchLabel(
  { literals, placeholders }: LabelPattern,
  label: string,
  values: Partial<Record<Placeholder, string>>,
): boolean {
  const [before = "", between = "", after = ""] = literals;
  const [first, second] = placeholders;
  if (first === undefined) return label === before;
  const suffix = second === undefined ? between : after;
  if (!label.startsWith(before) || !label.endsWith(suffix)) return false;
  // Empty when the two overlap, and then no placeholder takes it.
  const inner = label.slice(before.length, label.length - suffix.length);
  if (second === undefined) return take(first, inner, values);
  // The port's side decides where to part: its digits never hold the text between the two.
  const cut = first === "port" ? inner.indexOf(between) : inner.lastIndexOf(between);
  if (cut === -1) return false;
  return take(first, inner.slice(0, cut), values) && take(second, inner.slice(cut + between.length), values);
}

function take(name: Placeholder, value: string, values: Partial<Record<Placeholder, string>>): boolean {
  if (!(name === "port" ? DIGITS : NAME).test(value)) return false;
  values[name] = value;
  return true;
}
