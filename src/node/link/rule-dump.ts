import { z } from "zod";
import type { IpFamily } from "../cidr.ts";
import { INITIAL_RULES } from "../fib/kernel-rule.ts";
import { understood } from "./printed-json.ts";
import type { LinkRule } from "./snapshot.ts";

const text = z.union([z.string(), z.number()]).transform(String).optional();

const dumped = z.looseObject({
  priority: z.number(),
  not: z.unknown().optional(),
  src: z.string().default("all"),
  srclen: z.number().optional(),
  dst: z.string().optional(),
  dstlen: z.number().optional(),
  tos: text,
  fwmark: text,
  fwmask: text,
  iif: z.string().optional(),
  iif_detached: z.unknown().optional(),
  oif: z.string().optional(),
  oif_detached: z.unknown().optional(),
  uid_start: z.number().optional(),
  uid_end: z.number().optional(),
  ipproto: text,
  sport: z.number().optional(),
  sport_start: z.number().optional(),
  sport_end: z.number().optional(),
  dport: z.number().optional(),
  dport_start: z.number().optional(),
  dport_end: z.number().optional(),
  tun_id: text,
  table: text,
  suppress_prefixlen: z.number().optional(),
  suppress_ifgroup: text,
  goto: text,
  unresolved: z.unknown().optional(),
  action: text,
  nop: z.unknown().optional(),
  protocol: text,
});

const KNOWN = new Set(Object.keys(dumped.shape));

/** FR_ACT_… of linux/fib_rules.h, as iproute2 takes them. */
const ACTIONS = new Map([
  ["6", "blackhole"],
  ["7", "unreachable"],
  ["8", "prohibit"],
]);

/** The routing rules of a family, from iproute2's JSON, without the three that every namespace begins with. */
export function rulesFrom(entries: readonly unknown[], family: IpFamily): readonly LinkRule[] {
  return entries.map((entry) => understood(dumped, entry)).flatMap((rule) => ruleOf(rule, family) ?? []);
}

function isInitial({ priority, table, ...rest }: z.infer<typeof dumped>): boolean {
  const initial = INITIAL_RULES.find((rule) => rule.priority === priority);
  const hasSelector =
    Object.keys(rest).some((key) => !["src", "protocol"].includes(key)) || rest.src !== "all";
  return initial !== undefined && table === String(initial.table) && !hasSelector;
}

function ruleOf(rule: z.infer<typeof dumped>, family: IpFamily): LinkRule | undefined {
  if (isInitial(rule)) return undefined;
  const { priority, src, dst, iif, oif, table, fwmark, fwmask, ipproto, action } = rule;
  const anyone = family === 4 ? "0.0.0.0/0" : "::/0";
  const prefixed = (address: string, length: number | undefined): string =>
    address === "all" ? anyone : `${address}/${length ?? (family === 4 ? 32 : 128)}`;
  const named = action === undefined ? undefined : ACTIONS.get(action);
  const words = [
    ...("not" in rule ? ["not"] : []),
    // Tells the family too: a batch has no -6.
    "from",
    prefixed(src, rule.srclen),
    ...(dst === undefined ? [] : ["to", prefixed(dst, rule.dstlen)]),
    ...option("tos", rule.tos),
    ...option("fwmark", fwmark && fwmask ? `${fwmark}/${fwmask}` : fwmark),
    ...option("iif", iif),
    ...option("oif", oif),
    ...option("uidrange", range(rule.uid_start, rule.uid_end)),
    ...option("ipproto", ipproto?.replace(/^ipproto-/, "")),
    ...option("sport", rule.sport ?? range(rule.sport_start, rule.sport_end)),
    ...option("dport", rule.dport ?? range(rule.dport_start, rule.dport_end)),
    ...option("tun_id", rule.tun_id),
    "priority",
    String(priority),
    ...option("protocol", rule.protocol === "0" ? undefined : rule.protocol),
    ...option("lookup", table),
    ...option("suppress_prefixlength", rule.suppress_prefixlen),
    ...option("suppress_ifgroup", rule.suppress_ifgroup),
    ...option("goto", rule.goto),
    ...("nop" in rule ? ["nop"] : []),
    ...(named === undefined ? [] : [named]),
  ];
  const strange = Object.keys(rule).filter((key) => !KNOWN.has(key));
  return {
    family,
    priority,
    ...(table !== undefined && { table: Number(table) }),
    selective:
      src !== "all" ||
      "not" in rule ||
      [dst, rule.tos, fwmark, rule.uid_start, ipproto, rule.tun_id, rule.suppress_prefixlen].some(
        (value) => value !== undefined,
      ) ||
      (iif !== undefined && iif !== "lo"),
    ...(iif !== undefined && { iif }),
    ...(oif !== undefined && { oif }),
    arguments: words,
    unknown: action !== undefined && named === undefined ? [...strange, `action ${action}`] : strange,
  };
}

function option(name: string, value: string | number | undefined): readonly string[] {
  return value === undefined ? [] : [name, String(value)];
}

function range(from: number | undefined, to: number | undefined): string | undefined {
  return from === undefined || to === undefined ? undefined : `${from}-${to}`;
}
