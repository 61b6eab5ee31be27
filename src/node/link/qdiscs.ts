import { z } from "zod";
import type { NetworkNamespace } from "../iproute.ts";
import { understood } from "./printed-json.ts";
import { runIn } from "./run-in.ts";

const listed = z.object({ kind: z.string(), handle: z.string().default("0:"), dev: z.string().optional() });

/**
 * Queueing disciplines of the link that someone set, such as `clsact` or `fq`; those that the kernel gave it have no handle. `undefined` when iproute2's
 * `tc` is missing or says nothing of use.
 */
export async function readQdiscs(
  namespace: NetworkNamespace,
  link: string,
): Promise<readonly string[] | undefined> {
  let text: string;
  try {
    text = (await runIn(namespace, ["tc", "-json", "qdisc", "show", "dev", link])).stdout;
  } catch {
    return undefined;
  }
  let entries: unknown;
  try {
    entries = JSON.parse(text.trim() || "[]");
  } catch {
    return undefined;
  }
  if (!Array.isArray(entries)) return undefined;
  return entries
    .map((entry) => understood(listed, entry))
    .filter(({ handle }) => handle !== "0:")
    .map(({ kind }) => kind);
}
