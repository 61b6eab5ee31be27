import { spawn } from "node:child_process";
import type { NetworkNamespace } from "../network-namespace.ts";
import { NodeToolError } from "../node-tool-error.ts";
import { ShellSession } from "../shell-session.ts";
import { englishEnvironment } from "../spawn-program.ts";

const READY_WITHIN_MS = 10_000;

/**
 * A network namespace that has no name and lives as long as a shell that reads from this process: should this one be killed, nothing is left
 * over.
 */
export interface ScratchNamespace {
  /** Rejects with `NodeToolError` when none could be made. */
  readonly namespace: Promise<NetworkNamespace>;
  /** The shell: it starts programs for this process. */
  readonly session: ShellSession;
  /** Removes it, and all that is in it. Does not wait for the kernel, which keeps others from changing links meanwhile. */
  close(): void;
}

/** Begins to make one: that takes a while, in which other things can be done. */
export function makeScratchNamespace(): ScratchNamespace {
  const holder = spawn("unshare", ["--net", "--", "sh"], { detached: true, env: englishEnvironment() });
  const session = new ShellSession(holder);
  const namespace = namespaceOf(session, holder.pid);
  // Told to who asks for it.
  namespace.catch(() => {});
  return { namespace, session, close: () => session.close() };
}

async function namespaceOf(session: ShellSession, pid: number | undefined): Promise<NetworkNamespace> {
  try {
    await session.begun(READY_WITHIN_MS);
  } catch (cause) {
    throw new NodeToolError("not_permitted", `making a network namespace to rehearse in: ${String(cause)}`, {
      cause,
      fix: "run it with CAP_SYS_ADMIN, and install util-linux for unshare",
    });
  }
  return { kind: "path", path: `/proc/${pid}/ns/net` };
}

/** Gives `doing` a scratch namespace, and removes it afterwards. */
export async function inScratchNamespace<T>(
  doing: (namespace: NetworkNamespace, session: ShellSession) => Promise<T>,
): Promise<T> {
  const scratch = makeScratchNamespace();
  try {
    return await doing(await scratch.namespace, scratch.session);
  } finally {
    scratch.close();
  }
}
