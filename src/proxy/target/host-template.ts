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

const NAME = /^[a-z0-9-]+$/;
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
 * Throws {@link TargetOptionsError} that names the template and the fault.
 */
export function compileHostTemplate(template: string): (host: string) => TemplateMatch {
  const fail = (fault: string): never => {
    throw new TargetOptionsError("bad_template", `template "${template}": ${fault}`);
  };
  const colon = template.lastIndexOf(":");
  const fixedPort = colon === -1 ? undefined : parsePort(template.slice(colon + 1));
  if (colon !== -1 && fixedPort === undefined) fail("the port after : must be 1 to 65535");
  const host = (colon === -1 ? template : template.slice(0, colon)).replace(/\.$/, "");
  const labels = host.split(".").map((label) => compileLabel(label, fail));

  const used = labels.flatMap((label) => label.placeholders);
  const repeated = used.find((name, index) => used.indexOf(name) !== index);
  if (repeated !== undefined) fail(`{${repeated}} appears twice`);
  if (used.includes("id") && (used.includes("name") || used.includes("namespace"))) {
    fail("use either {id}, or {name} with {namespace}");
  }
  if (used.includes("name") !== used.includes("namespace")) fail("{name} and {namespace} need each other");
  if (!used.includes("id") && !used.includes("name"))
    fail("it names no sandbox: add {id}, or {name}.{namespace}");
  if (labels.length < 2 || labels.at(-1)?.placeholders.length !== 0) fail("it must end in a literal domain");
  if (fixedPort !== undefined && used.includes("port")) fail("{port} and a port after : exclude each other");

  return (candidate) => match(labels, candidate.split("."), fixedPort);
}

function compileLabel(label: string, fail: (fault: string) => never): LabelPattern {
  const literals: string[] = [];
  const placeholders: Placeholder[] = [];
  // split() with a group puts literals at even places and placeholder names at odd ones.
  for (const [index, part] of label.split(/\{([^{}]*)\}/).entries()) {
    if (index % 2 === 0) {
      if (!/^[A-Za-z0-9_-]*$/.test(part)) fail(`"${part}" is not part of a host name`);
      literals.push(part.toLowerCase());
    } else {
      const known = PLACEHOLDERS.find((name) => name === part);
      if (known === undefined) fail(`unknown placeholder {${part}}: use {id}, {name}, {namespace} or {port}`);
      else placeholders.push(known);
    }
  }
  if (label === "") fail("it has an empty label");
  if (placeholders.length > 2 || (placeholders.length === 2 && !placeholders.includes("port"))) {
    fail("a label may hold one name, and {port}");
  }
  // A digit here would make it unclear where the port ends.
  if (placeholders.length === 2 && !/^[a-z_-]+$/.test(literals[1] ?? "")) {
    fail("{port} and a name in one label must be parted by - or letters");
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
