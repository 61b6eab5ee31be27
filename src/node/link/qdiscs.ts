import { z } from "zod";
import { quoted, type Task } from "../shell-script.ts";
import { understood } from "./printed-json.ts";

const listed = z.object({ kind: z.string(), handle: z.string().default("0:"), dev: z.string().optional() });

/**
 * Reads the queueing disciplines of the link that someone set, such as `clsact` or `fq`; those that the kernel gave it have no handle. `undefined` when
 * iproute2's `tc` is missing or says nothing of use.
 */
export function readQdiscs(link: string): Task<readonly string[] | undefined> {
  return {
    command: `tc -json qdisc show dev ${quoted(link)}`,
    input: "",
    isVital: false,
    read: ({ code, stdout }) => (code === 0 ? qdiscsIn(stdout) : undefined),
  };
}

function qdiscsIn(printed: string): readonly string[] | undefined {
  let entries: unknown;
  try {
    entries = JSON.parse(printed.trim() || "[]");
  } catch {
    return undefined;
  }
  if (!Array.isArray(entries)) return undefined;
  return entries
    .map((entry) => understood(listed, entry))
    .filter(({ handle }) => handle !== "0:")
    .map(({ kind }) => kind);
}
