import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { SnapshotSource } from "../../src/snapshot/snapshot-format.ts";

export const SOURCE: SnapshotSource = { server: "https://10.96.0.1", selector: "", scopes: [""] };

/** A path in a folder of this test alone. */
export async function snapshotPath(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lychgate-snapshot-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return join(folder, "routes.snapshot");
}
