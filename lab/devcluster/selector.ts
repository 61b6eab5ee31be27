import { ApiError } from "./api-error.ts";
import type { StoredSandbox } from "./sandbox.ts";

/** Which objects a list or a watch is about. */
export type Selector = (sandbox: StoredSandbox) => boolean;

type LabelTest = (labels: Readonly<Record<string, string>>) => boolean;

const NAME = "[-A-Za-z0-9_./]+";
const VALUE = "[-A-Za-z0-9_.]*";
const EXISTS = new RegExp(`^(!?)\\s*(${NAME})$`);
const EQUALITY = new RegExp(`^(${NAME})\\s*(=|==|!=)\\s*(${VALUE})$`);
const SET = new RegExp(`^(${NAME})\\s+(in|notin)\\s*\\(([^()]*)\\)$`);
// A comma inside parentheses belongs to a set.
const BETWEEN_REQUIREMENTS = /,(?![^(]*\))/;

/**
 * The selector of a request: the namespace of its path (`undefined`: all) and the parameters `labelSelector` and
 * `fieldSelector`, both optional. Labels by equality or by set, fields `metadata.name` and `metadata.namespace` as
 * for any custom resource.
 * @throws ApiError BadRequest that names the part it does not understand
 * @see https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
 */
export function parseSelector(namespace: string | undefined, query: URLSearchParams): Selector {
  const labels = requirements(query.get("labelSelector")).map(parseLabelRequirement);
  const fields = requirements(query.get("fieldSelector")).map(parseFieldRequirement);
  return (sandbox) =>
    (namespace === undefined || sandbox.metadata.namespace === namespace) &&
    labels.every((test) => test(sandbox.metadata.labels ?? {})) &&
    fields.every((test) => test(sandbox));
}

function requirements(text: string | null): string[] {
  if (text === null || text.trim() === "") return [];
  return text.split(BETWEEN_REQUIREMENTS).map((part) => part.trim());
}

function parseLabelRequirement(text: string): LabelTest {
  const equality = EQUALITY.exec(text);
  if (equality) {
    const [, key = "", operator, value = ""] = equality;
    return operator === "!=" ? (labels) => labels[key] !== value : (labels) => labels[key] === value;
  }
  const set = SET.exec(text);
  if (set) {
    const [, key = "", operator, list = ""] = set;
    const values = new Set(list.split(",").map((value) => value.trim()));
    const isIn: LabelTest = (labels) => {
      const value = labels[key];
      return value !== undefined && values.has(value);
    };
    return operator === "in" ? isIn : (labels) => !isIn(labels);
  }
  const exists = EXISTS.exec(text);
  if (exists) {
    const [, not, key = ""] = exists;
    return not ? (labels) => !Object.hasOwn(labels, key) : (labels) => Object.hasOwn(labels, key);
  }
  throw new ApiError(
    "BadRequest",
    `unable to parse requirement of the label selector: ${JSON.stringify(text)}`,
  );
}

function parseFieldRequirement(text: string): Selector {
  const match = /^([^=!]+)(=|==|!=)(.*)$/.exec(text);
  if (!match) {
    throw new ApiError(
      "BadRequest",
      `invalid field selector: ${JSON.stringify(text)}; write metadata.name=NAME`,
    );
  }
  const [, field, operator, value] = match;
  if (field !== "metadata.name" && field !== "metadata.namespace") {
    throw new ApiError("BadRequest", `field label not supported: ${field}`);
  }
  const read = (sandbox: StoredSandbox): string =>
    field === "metadata.name" ? sandbox.metadata.name : sandbox.metadata.namespace;
  return operator === "!=" ? (sandbox) => read(sandbox) !== value : (sandbox) => read(sandbox) === value;
}
