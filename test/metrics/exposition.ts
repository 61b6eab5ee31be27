/** One series of a scrape. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** One metric of a scrape with its series. */
export interface Family {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly samples: readonly Sample[];
}

const HELP = /^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) ((?:[^\\\n]|\\\\|\\n)+)$/;
const TYPE = /^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram)$/;
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\+Inf|-Inf|NaN|-?[0-9.]+(?:e[+-]?[0-9]+)?)$/;
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(?:,|$)/;

/**
 * Reads Prometheus's text format 0.0.4, and throws where a strict reader would: HELP and TYPE once per metric and before
 * its samples, samples of one metric together, legal names and escapes, no series twice, a line feed at the end.
 * Histograms must have ascending bounds, cumulative counts, `+Inf` equal to the count, and a sum.
 */
export function parseExposition(text: string): Family[] {
  if (!text.endsWith("\n")) throw new Error("the text does not end with a line feed");
  const families = new Map<string, { type: string; help: string; samples: Sample[] }>();
  const series = new Set<string>();
  let current = "";
  let help: { name: string; text: string } | undefined;
  for (const line of text.slice(0, -1).split("\n")) {
    if (line === "") continue;
    const helped = HELP.exec(line);
    const typed = TYPE.exec(line);
    if (helped) {
      help = { name: helped[1] ?? "", text: helped[2] ?? "" };
    } else if (typed) {
      current = typed[1] ?? "";
      if (help?.name !== current) throw new Error(`no HELP right before TYPE of ${current}`);
      if (families.has(current)) throw new Error(`${current} stands twice`);
      families.set(current, { type: typed[2] ?? "", help: help.text, samples: [] });
    } else {
      const sample = parseSample(line);
      const family = families.get(current);
      const base =
        family?.type === "histogram" ? sample.name.replace(/_(bucket|sum|count)$/, "") : sample.name;
      if (family === undefined || base !== current)
        throw new Error(`${line} does not stand under its metric`);
      const key = `${sample.name} ${labelsKey(sample.labels)}`;
      if (series.has(key)) throw new Error(`the series ${key} stands twice`);
      series.add(key);
      family.samples.push(sample);
    }
  }
  const result = [...families].map(([name, { type, help, samples }]) => ({ name, type, help, samples }));
  for (const family of result) if (family.type === "histogram") checkHistogram(family);
  return result;
}

/** Text that is equal for equal labels, whatever their order. */
export function labelsKey(labels: Readonly<Record<string, string>>): string {
  return JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function parseSample(line: string): Sample {
  const match = SAMPLE.exec(line);
  if (!match) throw new Error(`not a sample: ${line}`);
  const labels: Record<string, string> = {};
  let rest = match[2] ?? "";
  while (rest !== "") {
    const label = LABEL.exec(rest);
    if (!label) throw new Error(`bad labels: ${line}`);
    if ((label[1] ?? "") in labels) throw new Error(`a label twice: ${line}`);
    labels[label[1] ?? ""] = (label[2] ?? "").replaceAll(/\\(.)/g, (_, char: string) =>
      char === "n" ? "\n" : char,
    );
    rest = rest.slice(label[0].length);
  }
  const value = match[3] === "+Inf" ? Infinity : match[3] === "-Inf" ? -Infinity : Number(match[3]);
  return { name: match[1] ?? "", labels, value };
}

function checkHistogram({ name, samples }: Family): void {
  const groups = Map.groupBy(samples, ({ labels }) => {
    const { le: _, ...rest } = labels;
    return JSON.stringify(rest);
  });
  for (const [labels, group] of groups) {
    const buckets = group.filter((sample) => sample.name === `${name}_bucket`);
    const bounds = buckets.map(({ labels }) => (labels["le"] === "+Inf" ? Infinity : Number(labels["le"])));
    const counts = buckets.map(({ value }) => value);
    const total = group.find((sample) => sample.name === `${name}_count`)?.value;
    const ascending = (list: number[], strictly: boolean) =>
      list.every((value, i) => i === 0 || value > list[i - 1]! || (!strictly && value === list[i - 1]));
    if (!ascending(bounds, true) || bounds.at(-1) !== Infinity) throw new Error(`${name}${labels}: bounds`);
    if (!ascending(counts, false) || counts.at(-1) !== total) throw new Error(`${name}${labels}: counts`);
    if (!group.some((sample) => sample.name === `${name}_sum`)) throw new Error(`${name}${labels}: no sum`);
  }
}
