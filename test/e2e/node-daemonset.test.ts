import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { NO_NAMESPACES, type TestNamespace } from "../node/support/namespaces.ts";
import { makeNode } from "../node/support/node.ts";
import { eventually } from "../support/eventually.ts";
import { NO_MACHINE } from "./support/booted-machine.ts";
import { makeRootfs, ROOTFS } from "./support/rootfs.ts";

const REPOSITORY = resolve(import.meta.dirname, "../..");
/** Node of the project, as the image has it. */
const NODE = "/app/node_modules/node/bin/node";

/** What is read of deploy/node/overlap-daemonset.yaml. */
interface Pod {
  readonly hostNetwork: boolean;
  readonly containers: readonly [
    {
      readonly args: readonly string[];
      readonly readinessProbe: { readonly exec: { readonly command: readonly string[] } };
      readonly volumeMounts: readonly { readonly mountPath: string }[];
      readonly securityContext: object;
    },
  ];
}

function podOf(file: string): Pod {
  const documents = parseAllDocuments(readFileSync(join(REPOSITORY, file), "utf8")).map(
    (document) => document.toJS() as { readonly kind: string; readonly spec: { template: { spec: Pod } } },
  );
  const daemonSet = documents.find(({ kind }) => kind === "DaemonSet");
  if (!daemonSet) throw new Error(`${file} has no DaemonSet`);
  return daemonSet.spec.template.spec;
}

const skipped = NO_NAMESPACES ?? NO_MACHINE;

test.skipIf(skipped)(
  `the overlap DaemonSet's container does its work with what the manifest leaves it: no capability, a root that can't be written, two folders of the node${skipped ? ` (${skipped})` : ""}`,
  async () => {
    const pod = podOf("deploy/node/overlap-daemonset.yaml");
    const [container] = pod.containers;
    // What runContainer imitates.
    expect(pod.hostNetwork).toBe(true);
    expect(container.securityContext).toEqual({
      runAsUser: 0,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
    const root = imageRoot(container.volumeMounts.map(({ mountPath }) => mountPath));
    const node = await makeNode("daemonset");
    const mounts = container.volumeMounts.map(({ mountPath }) => ({ at: mountPath, folder: temporary() }));
    const fileIn = (path: string) => {
      const mount = mounts.find(({ at }) => path.startsWith(`${at}/`));
      return mount ? join(mount.folder, path.slice(mount.at.length)) : "nowhere";
    };
    const run = (command: readonly string[]) => runContainer(root, node, mounts, command);
    const probe = () => ended(run(container.readinessProbe.exec.command));

    expect(await probe()).toMatchObject({ code: 0 });
    node.sh("route add 10.244.3.0/24 dev ib0");
    const refused = await probe();
    expect(refused.code).toBe(1);
    expect(refused.output).toContain("10.244.3.0/24");

    // The marker is there while something is wrong.
    const daemon = run(["lychgate", ...container.args]);
    const files = container.args.flatMap((arg) => /^--(?:marker|metrics)-file=(.*)/.exec(arg)?.[1] ?? []);
    expect(files).toHaveLength(2);
    await eventually(() => {
      expect(daemon.exitCode).toBeNull();
      expect(files.map(fileIn).filter((file) => !existsSync(file))).toEqual([]);
    });
    const [marker = "", metrics = ""] = files.map((file) => readFileSync(fileIn(file), "utf8"));
    expect(marker).toContain("10.244.3.0/24");
    expect(metrics).toContain('lychgate_node_overlap_cidrs{verdict="overlap"} 1');
  },
);

/**
 * Debian with iproute2 and the project where deploy/node/Dockerfile puts it: a layer over the cached files. `mountPoints` are made,
 * as the kubelet does.
 */
function imageRoot(mountPoints: readonly string[]): string {
  makeRootfs();
  const folder = temporary();
  const [upper = "", work = "", root = ""] = ["upper", "work", "root"].map((name) => join(folder, name));
  for (const each of [upper, work, root]) mkdirSync(each);
  const layers = `lowerdir=${ROOTFS},upperdir=${upper},workdir=${work}`;
  execFileSync("mount", ["-t", "overlay", "overlay", "-o", layers, root]);
  onTestFinished(async () => {
    await eventually(() => spawnSync("umount", [root]).status === 0);
  });
  for (const path of ["/app", ...mountPoints]) mkdirSync(join(root, path), { recursive: true });
  const launcher = join(root, "usr/local/bin/lychgate");
  writeFileSync(launcher, `#!/bin/sh\nexec ${NODE} /app/bin/lychgate.mjs "$@"\n`);
  chmodSync(launcher, 0o755);
  return root;
}

function runContainer(
  root: string,
  node: TestNamespace,
  mounts: readonly { readonly at: string; readonly folder: string }[],
  command: readonly string[],
): ChildProcess {
  const isolation = ["--read-only", "--drop-capability=all", "--no-new-privileges=yes"];
  const child = spawn(
    "systemd-nspawn",
    [
      "--quiet",
      "--register=no",
      "--keep-unit",
      "--console=pipe",
      `--network-namespace-path=/run/netns/${node.name}`,
      ...isolation,
      `--bind-ro=${REPOSITORY}:/app`,
      ...mounts.map(({ at, folder }) => `--bind=${folder}:${at}`),
      "-D",
      root,
      ...command,
    ],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  child.stdout.resume();
  child.stderr.resume();
  onTestFinished(() => stop(child));
  return child;
}

/** Resolves when it has ended, to its exit code and all that it wrote from now on. */
async function ended(
  child: ChildProcess,
): Promise<{ readonly code: number | null; readonly output: string }> {
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.on("data", (chunk: Buffer) => (output += chunk.toString()));
  if (child.exitCode === null && child.signalCode === null)
    await new Promise((done) => void child.once("close", done));
  return { code: child.exitCode, output };
}

/** Its first process takes all others along. */
async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const leader = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim();
  if (/^\d+$/.test(leader)) process.kill(Number(leader), "SIGKILL");
  else child.kill("SIGKILL");
  await ended(child);
}

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), "lychgate-daemonset-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
