import type { MetricSpec } from "../../src/metrics/names.ts";

/** What a label must be, or must not be. */
export interface Matcher {
  readonly words: readonly string[];
  readonly negated: boolean;
  /** Set for a regular expression that is written as it stands. */
  readonly pattern?: string;
}

/** One of these words. */
export const is = (...words: readonly string[]): Matcher => ({ words, negated: false });
/** None of these words. */
export const isNot = (...words: readonly string[]): Matcher => ({ words, negated: true });
/** What the regular expression (RE2, anchored) matches; it must match at least one word of a closed list. */
export const matching = (pattern: string): Matcher => ({ words: [], negated: false, pattern });

/** Labels of a series that Prometheus adds, and by which one router is told from another. */
export const ROUTER = "namespace, instance";

/**
 * The selector of a metric's series. Throws for a label that the metric lacks and for a word that is not on the label's
 * list, so that a renamed metric, label or word can't leave a dashboard silently empty.
 *
 * @param matchers by label.
 * @param suffix `_bucket`, `_sum` or `_count` of a histogram.
 * @param common text of matchers that every selector has.
 */
export function selector(
  spec: MetricSpec,
  matchers: Readonly<Record<string, Matcher>> = {},
  suffix: "" | "_bucket" | "_sum" | "_count" = "",
  common = "",
): string {
  if ((spec.type === "histogram") !== (suffix !== "")) throw new Error(`${spec.name}${suffix} has no series`);
  const own = Object.entries(matchers).map(([label, matcher]) => matcherText(spec, label, matcher));
  const inner = [...own, ...(common === "" ? [] : [common])].join(",");
  return `${spec.name}${suffix}${inner === "" ? "" : `{${inner}}`}`;
}

function matcherText(spec: MetricSpec, label: string, { words, negated, pattern }: Matcher): string {
  const values = spec.labels?.[label];
  if (values === undefined) throw new Error(`${spec.name} has no label ${label}`);
  if (values.kind === "closed") {
    const unknown = words.filter((word) => !values.values.includes(word));
    if (unknown.length > 0) throw new Error(`${spec.name}{${label}} is never ${unknown.join(" or ")}`);
    if (pattern !== undefined && !values.values.some((word) => new RegExp(`^(?:${pattern})$`).test(word))) {
      throw new Error(`${spec.name}{${label}} never matches ${pattern}`);
    }
  }
  if (pattern !== undefined) return `${label}=~"${pattern}"`;
  if (words.length === 1) return `${label}${negated ? "!=" : "="}"${words[0] ?? ""}"`;
  return `${label}${negated ? "!~" : "=~"}"${words.join("|")}"`;
}

/** Selectors and common functions over them, all with the same matchers. */
export interface Promql {
  /** The series of a counter or gauge. */
  series(spec: MetricSpec, matchers?: Readonly<Record<string, Matcher>>): string;
  /** `sum by (labels) (rate(series[window]))`; without labels one number. */
  rate(spec: MetricSpec, window: string, by?: string, matchers?: Readonly<Record<string, Matcher>>): string;
  /** The same with `increase`. */
  increase(
    spec: MetricSpec,
    window: string,
    by?: string,
    matchers?: Readonly<Record<string, Matcher>>,
  ): string;
  /** {@link rate}, but only of those that grew in the time shown: of a long list of words most never occur. */
  seenRate(spec: MetricSpec, window: string, by: string): string;
  /** The same with {@link increase}. */
  seenIncrease(spec: MetricSpec, window: string, by: string): string;
  /** A quantile of a histogram. */
  quantile(q: number, spec: MetricSpec, window: string, by?: string): string;
  /** The growth of each bucket, for a heat map. */
  buckets(spec: MetricSpec, window: string): string;
}

/** @param common text of matchers that every selector has, such as `namespace=~"$namespace"`. */
export function promql(common = ""): Promql {
  const series: Promql["series"] = (spec, matchers) => selector(spec, matchers, "", common);
  // At the end of the time shown, so that it is worked out once and not for each point.
  const seen = (spec: MetricSpec, by: string) =>
    ` and on (${by}) (sum by (${by}) (increase(${series(spec)}[$__range] @ end())) > 0)`;
  const over: (name: string) => Promql["rate"] = (name) => (spec, window, by, matchers) =>
    `${sumBy(by)}(${name}(${series(spec, matchers)}[${window}]))`;
  return {
    series,
    rate: over("rate"),
    increase: over("increase"),
    seenRate: (spec, window, by) => `${over("rate")(spec, window, by)}${seen(spec, by)}`,
    seenIncrease: (spec, window, by) => `${over("increase")(spec, window, by)}${seen(spec, by)}`,
    quantile(q, spec, window, by) {
      const bucket = selector(spec, {}, "_bucket", common);
      return `histogram_quantile(${q}, ${sumBy(by === undefined ? "le" : `le, ${by}`)}(rate(${bucket}[${window}])))`;
    },
    buckets: (spec, window) => `sum by (le) (increase(${selector(spec, {}, "_bucket", common)}[${window}]))`,
  };
}

function sumBy(labels: string | undefined): string {
  return labels === undefined ? "sum" : `sum by (${labels}) `;
}

/** The expression without what leaves out the words that did not occur ({@link Promql.seenRate}). */
export function withoutSeen(expr: string): string {
  return expr.replace(/ and on \([^)]*\) \(sum by .* @ end\(\)\)\) > 0\)$/, "");
}
