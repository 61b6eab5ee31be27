import { parse } from "yaml";
import { z } from "zod";
import { messageOf } from "../../system/error-text.ts";
import { NodeToolError } from "../node-tool-error.ts";
import { canonicalAddress } from "./backend.ts";

const SECOND_MS = 1000;
const HOUR_MS = 3600 * SECOND_MS;
const MAX_ADDRESSES = 1000;

const anycastAddress = z.string().transform((text, context) => {
  const address = canonicalAddress(text.replace(/\/(32|128)$/, ""));
  if (address === undefined) {
    context.addIssue({
      code: "custom",
      message: "must be one IPv4 or IPv6 address, without leading zeros and without a prefix length",
    });
    return z.NEVER;
  }
  return address;
});

const absolutePath = z.string().regex(/^\/[^\0\r\n"]*$/, "must be an absolute path");

const pods = z.strictObject({
  /** Name of this node: only its pods are watched. Default: the environment's NODE_NAME. */
  node: z.string().default(""),
  /** Empty: all namespaces. */
  namespaces: z.array(z.string().min(1)).default([]),
  /** Label selector, as for `kubectl -l`. Empty: all pods. */
  selector: z.string().default(""),
  /** Annotation that names the addresses that a pod binds, separated by commas or spaces. */
  annotation: z.string().min(1).default("lychgate.dev/anycast"),
  /** Default: `KUBECONFIG`, the service account, or `~/.kube/config`. */
  kubeconfig: z.string().default(""),
  context: z.string().default(""),
});

const kernel = z.strictObject({
  /**
   * `resilient` keeps running connections where they are when a pod comes or another goes (Linux 5.13); `mpath` is for
   * older kernels and spreads all of them anew.
   */
  groupType: z.enum(["resilient", "mpath"]).default("resilient"),
  /** Hash buckets of a resilient group, per address. More suit many connections per second. */
  buckets: z.int().min(8).max(32_768).default(128),
  /** A bucket that no packet has used for so long may be given to another pod. */
  idleSeconds: z.int().min(1).max(3600).default(1),
});

const bird = z.strictObject({
  controlSocket: absolutePath.default("/run/bird/bird.ctl"),
  /** Written by us; `bird.conf` includes it. On a tmpfs, so that nothing of an earlier boot is announced. */
  includeFile: absolutePath.default("/run/lychgate/anycast.conf"),
  timeoutMs: z.int().min(10).max(60_000).default(2000),
});

const spec = z.strictObject({
  /** The committed addresses: nothing else is ever announced or installed, whatever a pod's annotation says. */
  addresses: z.array(anycastAddress).min(1, "must name at least one address").max(MAX_ADDRESSES),
  pods: pods.optional(),
  /** A YAML file with more backends; it is watched. */
  backendsFile: absolutePath.optional(),
  /** How long a pod that was told to end, and goes on accepting, keeps its running connections. */
  lingerMs: z.int().min(0).max(HOUR_MS).default(0),
  kernel: kernel.prefault({}),
  bird: bird.prefault({}),
  /** Address of the small listener: `/metrics`, `/status`, `/healthz`. */
  listen: z
    .string()
    .regex(/^(\[[0-9a-fA-F:.]+\]|[^:\s]*):\d{1,5}$/, "must be host:port, such as 127.0.0.1:9903")
    .default("127.0.0.1:9903"),
  /** Pause between passes that look for drift. */
  resyncMs: z
    .int()
    .min(100)
    .max(HOUR_MS)
    .default(30 * SECOND_MS),
  /** What happens to routes and announcements when the daemon is told to end: the next run adopts what is kept. */
  onExit: z.enum(["keep", "withdraw"]).default("keep"),
});

/** What `lychgate node anycast` is to do on a node. The fields' meaning and defaults: docs/node/anycast.md. */
export type AnycastSpec = Readonly<z.output<typeof spec>>;

/** Reads a spec, YAML or JSON. Throws {@link NodeToolError} `invalid` that names `file`, each field and what it must be. */
export function parseAnycastSpec(text: string, file: string): AnycastSpec {
  const value = parseYaml(text, file);
  const parsed = spec.safeParse(value ?? {});
  if (!parsed.success) throw invalid(file, faultsOf(parsed.error));
  if (!parsed.data.pods && parsed.data.backendsFile === undefined) {
    throw new NodeToolError("invalid", `${file}: no backends can be known`, {
      fix: "give pods (an empty map will do) or backendsFile",
    });
  }
  return { ...parsed.data, addresses: [...new Set(parsed.data.addresses)] };
}

/** Parses YAML. Throws {@link NodeToolError} `invalid`. */
export function parseYaml(text: string, file: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    throw invalid(file, messageOf(error).split("\n")[0] ?? "");
  }
}

/** The faults of a value, each with its path: `pods.node: must …; listen: …`. */
export function faultsOf(error: z.ZodError): string {
  return error.issues
    .map(({ path, message }) => (path.length > 0 ? `${path.join(".")}: ${message}` : message))
    .join("; ");
}

function invalid(file: string, faults: string): NodeToolError {
  return new NodeToolError("invalid", `${file}: ${faults}`, {
    fix: "see docs/node/anycast.md for the fields",
  });
}
