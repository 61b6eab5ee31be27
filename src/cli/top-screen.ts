import { styleText } from "node:util";
import type { RateOf, Status, TrafficPoint } from "../admin/status-types.ts";
import { printable } from "./printable.ts";

/** How a picture is drawn. */
export interface ScreenOptions {
  /** Width of the terminal. Below 60 it is drawn for 60. */
  readonly columns: number;
  readonly color: boolean;
  /** Lines that there is room for; all when absent. */
  readonly rows?: number | undefined;
}

type Style = Parameters<typeof styleText>[0];

const MIN_COLUMNS = 60;
const SPARKS = "▁▂▃▄▅▆▇█";
const MAX_PEERS = 4;
const MAX_RATES = 6;

const LEVELS: Readonly<Record<Status["health"]["level"], { readonly sign: string; readonly style: Style }>> =
  {
    ok: { sign: "●", style: ["green", "bold"] },
    degraded: { sign: "▲", style: ["yellow", "bold"] },
    down: { sign: "■", style: ["red", "bold"] },
  };

/** One picture of a router, as lines that are no wider than the terminal. */
export function screenOf(status: Status, options: ScreenOptions): string[] {
  const width = Math.max(MIN_COLUMNS, options.columns);
  const paint = (style: Style, text: string): string =>
    options.color ? styleText(style, text, { validateStream: false }) : text;
  const clip = (text: string, room = width): string => clipped(printable(text), room);
  const lines = [
    ...headLines(status, paint, clip),
    "",
    ...trafficLines(status, width, paint),
    "",
    ...sideBySide(
      rateLines("ANSWERS BY REASON", status.traffic.reasons, paint),
      rateLines("WHAT THE TABLE WAS TOLD", status.traffic.churn, paint),
      width,
    ),
    "",
    ...sourceLines(status, paint, clip),
  ];
  return options.rows === undefined ? lines : lines.slice(0, options.rows);
}

type Paint = (style: Style, text: string) => string;
type Clip = (text: string, room?: number) => string;

function headLines({ overview, health, traffic }: Status, paint: Paint, clip: Clip): string[] {
  const { version, uptimeSeconds, counts } = overview;
  const { sign, style } = LEVELS[health.level];
  const { states } = counts;
  const byState = Object.entries(states)
    .filter(([, routes]) => routes > 0)
    .map(([state, routes]) => `${state} ${whole(routes)}`);
  return [
    paint("bold", clip(`lychgate ${version}, up ${uptime(uptimeSeconds)}`)),
    paint(style, clip(`${sign} ${health.headline}`)),
    ...(health.level === "ok" ? [] : health.findings.slice(0, 4).map(({ text }) => clip(`  - ${text}`))),
    "",
    clip(
      `routes    ${whole(counts.servable)} served of ${whole(counts.routes)}: ${byState.join(", ") || "none"}`,
    ),
    clip(
      `          ${whole(counts.hints)} hints, ${whole(counts.tombstones)} tombstones, conflicts: ${whole(counts.idConflicts)} IDs, ${whole(counts.ipConflicts)} IPs`,
    ),
    clip(`          ${whole(traffic.now.stopped)} resurrections stopped since the start`),
  ];
}

function trafficLines({ traffic: { now, points } }: Status, width: number, paint: Paint): string[] {
  const room = Math.min(60, width - 44);
  const row = (name: string, value: string, of: (point: TrafficPoint) => number | undefined): string => {
    const told = `${name.padEnd(10)}${value.padEnd(32)}`;
    return `${told}  ${paint("cyan", sparks(points.slice(-room).map(of)))}`;
  };
  return [
    row(
      "requests",
      `${rate(now.requestsPerSecond)}/s, ${rate(now.failuresPerSecond)}/s failing`,
      ({ answered, refused, failed }) => answered + refused + failed,
    ),
    row("latency", `p50 ${duration(now.p50Ms)}, p99 ${duration(now.p99Ms)}`, ({ p99Ms }) => p99Ms),
    row(
      "open",
      `${whole(now.inFlight)} in flight, ${whole(now.upgrades)} upgraded`,
      ({ inFlight }) => inFlight,
    ),
    row(
      "churn",
      `${rate(last(points, ({ informer }) => informer))}/s informer, ${rate(last(points, ({ peer }) => peer))}/s peers`,
      ({ informer, peer, clock }) => informer + peer + clock,
    ),
  ];
}

function rateLines(title: string, rates: readonly RateOf[], paint: Paint): Cell[] {
  const rows = rates.slice(0, MAX_RATES).map(({ name, total, perSecond }) => {
    const text = `${clipped(printable(name), 20).padEnd(20)}${`${rate(perSecond)}/s`.padStart(9)}${short(total).padStart(8)}`;
    return { text, shown: text };
  });
  const nothing = { text: "none yet", shown: "none yet" };
  return [{ text: title, shown: paint("dim", title) }, ...(rows.length > 0 ? rows : [nothing])];
}

/** A text and how it is written: escapes take no room on the screen. */
interface Cell {
  readonly text: string;
  readonly shown: string;
}

function sideBySide(left: readonly Cell[], right: readonly Cell[], width: number): string[] {
  const column = 40;
  if (width < 2 * column - 2) return [...left, { text: "", shown: "" }, ...right].map(({ shown }) => shown);
  return Array.from({ length: Math.max(left.length, right.length) }, (_, index) => {
    const one = left[index] ?? { text: "", shown: "" };
    const two = right[index]?.shown ?? "";
    return `${one.shown}${" ".repeat(Math.max(0, column - one.text.length))}${two}`.trimEnd();
  });
}

function sourceLines({ atMs, watch, peers, workers }: Status, paint: Paint, clip: Clip): string[] {
  const lines = [paint("dim", "SOURCES AND PROCESSES")];
  if (!watch) lines.push("watch     none: routes come from peers alone");
  for (const { scope, state, watermark, lastHeardAtMs, connected, fault } of watch?.scopes ?? []) {
    const heard = lastHeardAtMs === undefined ? "never heard" : `heard ${ago(atMs - lastHeardAtMs)}`;
    const text = `watch     ${scope || "all namespaces"}: ${state} at ${watermark ?? "-"}, ${heard}${fault ? `; ${fault}` : ""}`;
    lines.push(connected ? clip(text) : paint("yellow", clip(text)));
  }
  for (const {
    address,
    pushes,
    applied,
    stopped,
    contradicted,
    refuted,
    refused,
    lastPushAtMs,
  } of peers.slice(0, MAX_PEERS)) {
    const text = `peer      ${address}: ${short(pushes)} pushes, ${short(applied)} kept, ${short(stopped)} stopped, ${short(contradicted)} contradicted, ${short(refuted)} refuted, ${refused > 0 ? `${short(refused)} not allowed, ` : ""}${ago(atMs - lastPushAtMs)}`;
    lines.push(contradicted + refuted + refused > 0 ? paint("yellow", clip(text)) : clip(text));
  }
  if (peers.length > MAX_PEERS) lines.push(`          and ${peers.length - MAX_PEERS} peers more`);
  if (workers.wanted > 0) lines.push(`workers   ${workers.ready} of ${workers.wanted} serve`);
  for (const { name, cpu, memoryBytes, lagMs } of workers.processes) {
    const behind = name.startsWith("worker") && lagMs !== undefined ? `, ${duration(lagMs)} behind` : "";
    const used = cpu === undefined ? "-" : `${Math.round(100 * cpu)} %`;
    const memory = memoryBytes === undefined ? "-" : `${Math.round(memoryBytes / 2 ** 20)} MiB`;
    lines.push(clip(`process   ${name.padEnd(10)} CPU ${used}, memory ${memory}${behind}`));
  }
  return lines;
}

function sparks(values: readonly (number | undefined)[]): string {
  const most = Math.max(...values.map((value) => value ?? 0), 0);
  return values
    .map((value) => {
      if (value === undefined) return " ";
      return SPARKS[most === 0 ? 0 : Math.min(7, Math.floor((value / most) * 7.99))] ?? " ";
    })
    .join("");
}

function last(points: readonly TrafficPoint[], of: (point: TrafficPoint) => number): number {
  const point = points.at(-1);
  return point ? of(point) : 0;
}

function clipped(text: string, room: number): string {
  return text.length <= room ? text : `${text.slice(0, room - 1)}…`;
}

function whole(value: number): string {
  return value.toLocaleString("en", { maximumFractionDigits: 0 });
}

/** A count in at most seven characters. */
function short(value: number): string {
  if (value < 100_000) return whole(value);
  return value < 1e7 ? `${Math.round(value / 1e3)}k` : `${Math.round(value / 1e6)}M`;
}

function rate(value: number): string {
  return value.toLocaleString("en", {
    maximumFractionDigits: value < 10 ? 2 : value < 100 ? 1 : 0,
    useGrouping: value >= 1e5 ? false : "auto",
  });
}

function duration(ms: number | undefined): string {
  if (ms === undefined) return "-";
  return ms < 1_000 ? `${rate(ms)} ms` : `${rate(ms / 1_000)} s`;
}

function ago(ms: number): string {
  return ms < 1_500 ? "just now" : `${uptime(Math.round(ms / 1_000))} ago`;
}

function uptime(seconds: number): string {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  const hours = Math.floor(seconds / 3_600);
  return hours < 48
    ? `${hours} h ${Math.floor((seconds % 3_600) / 60)} min`
    : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}
