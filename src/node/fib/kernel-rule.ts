import { type Cidr, cidrAt, type IpFamily, parseAddress } from "../cidr.ts";
import { DEFAULT_TABLE, isRecord, LOCAL_TABLE, MAIN_TABLE, tableName } from "./kernel-route.ts";

/** The three rules that every namespace begins with. */
export const INITIAL_RULES = [
  { table: LOCAL_TABLE, priority: 0 },
  { table: MAIN_TABLE, priority: 32_766 },
  { table: DEFAULT_TABLE, priority: 32_767 },
] as const;

/** What a rule has done with a packet that it takes. */
export type RuleAction =
  | {
      readonly kind: "table";
      readonly table: number;
      /** A route of at most this length is as good as none. */
      readonly suppressUpTo: number;
    }
  | { readonly kind: "goto"; readonly priority: number }
  | { readonly kind: "refuse"; readonly type: "blackhole" | "unreachable" | "prohibit" }
  | { readonly kind: "nothing" };

/** A rule of `ip rule`, in the kernel's order. */
export interface KernelRule {
  readonly priority: number;
  /** Packets to these addresses; absent: to any. */
  readonly to?: Cidr;
  /** `to` the others instead. */
  readonly toOthers: boolean;
  /**
   * Which packets it takes, beyond their destination: `always` those that a program here sends without a mark and without binding an
   * address, `sometimes` only others (marked, forwarded, from some address), `never` none that concern us.
   */
  readonly takes: "always" | "sometimes" | "never";
  /** In words, for `sometimes`: `fwmark 0x200/0xf00`. */
  readonly condition: string;
  readonly action: RuleAction;
}

/** What is no condition in the JSON of a rule; every other field is one. */
const UNCONDITIONAL = new Set([
  "priority",
  "not",
  "src",
  "srclen",
  "dst",
  "dstlen",
  "table",
  "protocol",
  "suppress_prefixlen",
  "suppress_ifgroup",
  "goto",
  "unresolved",
  "action",
  "nop",
  "flags",
  "fwmask",
]);

const REFUSALS: Readonly<Record<string, "blackhole" | "unreachable" | "prohibit">> = {
  "6": "blackhole",
  "7": "unreachable",
  "8": "prohibit",
};

/** Reads one element of `ip -json -details -N rule show`. */
export function readKernelRule(value: unknown, family: IpFamily): KernelRule | undefined {
  if (!isRecord(value)) return undefined;
  const not = "not" in value;
  const conditions = conditionsOf(value);
  const never = "l3mdev" in value || "iif_detached" in value || "oif_detached" in value;
  const to = cidrOf(value["dst"], value["dstlen"], family);
  const inverted = not && conditions.length > 0;
  const takes = never ? "never" : conditions.length === 0 || inverted ? "always" : "sometimes";
  return {
    priority: Number(value["priority"] ?? 0),
    // `not fwmark 1 to X` takes all that is unmarked, wherever it goes.
    ...(to && !inverted && { to }),
    toOthers: not && !inverted,
    takes,
    condition: takes === "sometimes" ? conditions.join(" ") : "",
    action: actionOf(value),
  };
}

/** A rule in words: `rule 100 (lookup 200)`. */
export function formatKernelRule({ priority, action }: KernelRule): string {
  const does =
    action.kind === "table"
      ? `lookup ${tableName(action.table)}`
      : action.kind === "refuse"
        ? action.type
        : action.kind;
  return `rule ${priority} (${does})`;
}

/** What a plain packet does not fulfil. */
function conditionsOf(value: Readonly<Record<string, unknown>>): string[] {
  const conditions: string[] = [];
  const { src, srclen } = value;
  if (typeof src === "string" && src !== "all" && Number(srclen ?? 128) > 0)
    conditions.push(`from ${src}${srclen === undefined ? "" : `/${Number(srclen)}`}`);
  for (const [key, given] of Object.entries(value)) {
    if (UNCONDITIONAL.has(key)) continue;
    // What this machine sends comes in by lo, and unmarked.
    if (key === "iif" && given === "lo") continue;
    if (key === "fwmark" && Number(given) === 0) continue;
    const mask = key === "fwmark" && "fwmask" in value ? `/${String(value["fwmask"])}` : "";
    conditions.push(`${key} ${JSON.stringify(given).replaceAll('"', "")}${mask}`);
  }
  return conditions;
}

function actionOf(value: Readonly<Record<string, unknown>>): RuleAction {
  const refusal = REFUSALS[String(value["action"])];
  if (refusal) return { kind: "refuse", type: refusal };
  if ("goto" in value) return { kind: "goto", priority: Number(value["goto"]) };
  if (!("table" in value)) return { kind: "nothing" };
  const suppressed = value["suppress_prefixlen"];
  return {
    kind: "table",
    table: Number(value["table"]),
    suppressUpTo: suppressed === undefined ? -1 : Number(suppressed),
  };
}

function cidrOf(text: unknown, length: unknown, family: IpFamily): Cidr | undefined {
  const address = typeof text === "string" ? parseAddress(text) : undefined;
  if (address?.family !== family) return undefined;
  return cidrAt(address, length === undefined ? (family === 4 ? 32 : 128) : Number(length));
}
