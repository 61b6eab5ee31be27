import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import type { Clock, Milliseconds } from "../../system/clock.ts";
import type { IpRoute } from "../iproute.ts";
import { IpRouteError } from "../iproute-error.ts";

/** An address and the MAC that answers for it. */
export interface ResolvedGateway {
  readonly address: string;
  readonly mac: string;
}

/** A gateway that no MAC is known for. */
export interface SkippedGateway {
  readonly address: string;
  readonly why: string;
}

/** How {@link resolveGateways} waits. */
export interface ResolveOptions {
  /** How long all answers together may take; 0 sends nothing and takes what is known. The kernel gives up after about 3 s. */
  readonly timeoutMs: Milliseconds;
  readonly clock: Clock;
}

const POLL_EVERY_MS = 20;

const dumped = z.object({
  dst: z.string(),
  dev: z.string().optional(),
  lladdr: z.string().optional(),
  state: z.array(z.string()).default([]),
});

type Entry = z.infer<typeof dumped>;

/**
 * Finds out which MAC answers for each of the `gateways` on `link`. An entry that has one is taken as it is; a permanent one is never
 * asked for, since that would make it an ordinary one. For the others the kernel is told to resolve (`use`, which sends nothing
 * but ARP or neighbour discovery), and the table is read until they have a MAC, have failed, or the time is up. Needs
 * CAP_NET_ADMIN. A gateway that does not answer is in `skipped`, with the reason; that is no failure.
 */
export async function resolveGateways(
  ip: IpRoute,
  link: string,
  gateways: readonly string[],
  { timeoutMs, clock }: ResolveOptions,
): Promise<{ readonly resolved: readonly ResolvedGateway[]; readonly skipped: readonly SkippedGateway[] }> {
  const deadlineMs = clock.monotonicMs() + timeoutMs;
  const skipped: SkippedGateway[] = [];
  let entries = await readEntries(ip, link);
  const asked: string[] = [];
  for (const address of gateways) {
    if (hasAnswer(entries.get(address)) || timeoutMs === 0) continue;
    try {
      await ip.run(["neighbour", "replace", address, "dev", link, "use"]);
      asked.push(address);
    } catch (error) {
      if (!(error instanceof IpRouteError)) throw error;
      const why =
        error.reason === "not_permitted"
          ? "to ask for it needs CAP_NET_ADMIN"
          : `the kernel refused to ask: ${error.said}`;
      skipped.push({ address, why });
    }
  }
  const isOpen = (address: string): boolean => {
    const entry = entries.get(address);
    return !hasAnswer(entry) && !entry?.state.includes("FAILED");
  };
  // What is asked for is not listed at once.
  while (asked.some(isOpen) && clock.monotonicMs() < deadlineMs) {
    await sleep(POLL_EVERY_MS);
    entries = await readEntries(ip, link);
  }
  const refused = new Set(skipped.map(({ address }) => address));
  const resolved: ResolvedGateway[] = [];
  for (const address of gateways) {
    const entry = entries.get(address);
    if (entry?.lladdr !== undefined && hasAnswer(entry)) resolved.push({ address, mac: entry.lladdr });
    else if (!refused.has(address)) skipped.push({ address, why: whyNot(entry, timeoutMs) });
  }
  return { resolved, skipped };
}

async function readEntries(ip: IpRoute, link: string): Promise<ReadonlyMap<string, Entry>> {
  // Without "nud all" those without ARP are left out.
  const entries = (await ip.json(["neighbour", "show", "nud", "all"])).map((entry) => dumped.parse(entry));
  return new Map(entries.filter(({ dev }) => dev === link).map((entry) => [entry.dst, entry]));
}

function hasAnswer(entry: Entry | undefined): boolean {
  return entry?.lladdr !== undefined && !entry.state.some((state) => /FAILED|INCOMPLETE|NONE/.test(state));
}

function whyNot(entry: Entry | undefined, timeoutMs: Milliseconds): string {
  if (entry?.state.includes("NOARP")) return "its entry has no MAC";
  if (timeoutMs === 0) return "no MAC is known for it, and it was not asked for";
  const protocol = entry?.dst.includes(":") ? "neighbour discovery" : "ARP";
  return `nothing answered ${entry ? protocol : "ARP or neighbour discovery"} within ${timeoutMs} ms`;
}
