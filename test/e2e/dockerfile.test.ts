import { execFile, spawn, spawnSync } from "node:child_process";
import { constants } from "node:fs";
import { chmod, copyFile, cp, mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { basename, delimiter, dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readEnvironment } from "../../src/config/environment.ts";
import { SETTINGS } from "../../src/config/settings.ts";
import { eventually } from "../support/eventually.ts";
import {
  execForm,
  isInContext,
  pairsOf,
  parseDockerfile,
  type Instruction,
  type Stage,
} from "./dockerfile.ts";

const checkout = resolve(import.meta.dirname, "../..");
const dockerfile = await readFile(join(checkout, "Dockerfile"), "utf8");
const dockerignore = await readFile(join(checkout, ".dockerignore"), "utf8");
const stages = parseDockerfile(dockerfile);
const image = stages.at(-1)!;

const all = (stage: Stage, name: string) =>
  stage.instructions.filter((instruction) => instruction.name === name);
const only = (stage: Stage, name: string): Instruction => {
  const [instruction, ...more] = all(stage, name);
  if (!instruction || more.length > 0)
    throw new Error(`${name} must stand exactly once in the stage of ${stage.image}`);
  return instruction;
};
const imageEnvironment = pairsOf(
  all(image, "ENV")
    .map(({ rest }) => rest)
    .join(" "),
);
const entrypoint = execForm(only(image, "ENTRYPOINT").rest) ?? [];
const healthcheck = execForm(only(image, "HEALTHCHECK").rest.replace(/^CMD\s+/, "")) ?? [];

describe("the Dockerfile, read", () => {
  test("has a stage for the dependencies and one for the image, each with a pinned major", () => {
    expect(stages.map(({ name }) => name)).toEqual(["dependencies", undefined]);
    for (const { image } of stages) expect(image).toMatch(/(node:26-|nodejs26-)\S+$/);
    for (const { image } of stages) expect(image).not.toMatch(/:latest$|^[^:]+$/);
  });

  test("installs what the lock file says and runs no package's scripts", () => {
    const runs = all(stages[0]!, "RUN").map(({ rest }) => rest);
    expect(runs[0]).toMatch(/^npm ci --omit=dev --ignore-scripts( &&|$)/);
    expect(dockerfile).not.toMatch(/npm (i|install)\b|\bADD\b|curl|wget/);
  });

  test("the image has no RUN: it has no shell", () => {
    expect(all(image, "RUN")).toEqual([]);
    expect(entrypoint).not.toEqual([]);
    expect(healthcheck).not.toEqual([]);
  });

  test("runs as a numeric user that is not root, set after the last COPY", () => {
    expect(only(image, "USER").rest).toBe("65532:65532");
    const order = image.instructions.map(({ name }) => name);
    expect(order.indexOf("USER")).toBeGreaterThan(order.lastIndexOf("COPY"));
    // Files belong to root, so the user can't change them.
    for (const { flags } of all(image, "COPY")) expect(flags).not.toHaveProperty("chown");
  });

  test("starts serve and asks health through the same launcher, in exec form, so that signals arrive", () => {
    expect(entrypoint).toEqual([
      "/nodejs/bin/node",
      "--max-semi-space-size=4",
      "--v8-pool-size=1",
      "/app/bin/lychgate.mjs",
      "serve",
    ]);
    expect(healthcheck).toEqual(["/nodejs/bin/node", "/app/bin/lychgate.mjs", "health"]);
    expect(only(image, "STOPSIGNAL").rest).toBe("SIGTERM");
    expect(Object.keys(only(image, "HEALTHCHECK").flags).sort()).toEqual([
      "interval",
      "retries",
      "start-period",
      "timeout",
    ]);
  });

  test("exposes the default ports and opens the admin port", () => {
    // Those that are listened on without being asked to be.
    const ports = SETTINGS.filter((setting) => /listen$/i.test(setting.key) && setting.default !== "").map(
      (setting) => /\d+$/.exec(String(setting.default))?.[0],
    );
    // Members of a memberlist speak over UDP too.
    expect(only(image, "EXPOSE").rest.split(" ")).toEqual([...ports, "7946/udp"]);
    expect(imageEnvironment["LYCHGATE_ADMIN_LISTEN"]).toBe(":9902");
  });

  test("sets only variables that the schema knows, and no secret", () => {
    expect(readEnvironment(imageEnvironment).problems).toEqual([]);
    expect(dockerfile).not.toMatch(/token|secret|password/i);
  });

  test("carries the labels of the OCI image specification", () => {
    const labels = pairsOf(only(image, "LABEL").rest);
    for (const key of ["title", "description", "version", "revision"]) {
      expect(labels[`org.opencontainers.image.${key}`]).toBeTruthy();
    }
  });

  test("copies only what .dockerignore lets through", () => {
    for (const { rest, flags } of stages.flatMap((stage) => all(stage, "COPY"))) {
      if (flags["from"] !== undefined) continue;
      for (const source of rest.split(" ").slice(0, -1))
        expect([source, isInContext(dockerignore, source)]).toEqual([source, true]);
    }
    for (const stranger of [".git", "node_modules", "test", "docs", ".env", "srcs"]) {
      expect([stranger, isInContext(dockerignore, stranger)]).toEqual([stranger, false]);
    }
  });

  const hadolint = spawnSync("hadolint", ["--version"]).status === 0;
  test.skipIf(!hadolint)("hadolint has nothing to say", async () => {
    await promisify(execFile)("hadolint", [join(checkout, "Dockerfile")]);
  });
});

// No container engine is at hand: the steps are run in folders that stand for the stages' root file systems, the result
// is made read-only, and the image's own commands are run in it as the image's own user.
describe("the Dockerfile, run", () => {
  let folder: string;
  let root: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "lychgate-image-"));
    await chmod(folder, 0o755);
    for (const [index, stage] of stages.entries())
      await build(stage, join(folder, stage.name ?? String(index)));
    root = join(folder, String(stages.length - 1));
    // The base image brings Node 26 at this path; here it is the one that runs this test.
    await mkdir(join(root, "nodejs/bin"), { recursive: true });
    await copyFile(process.execPath, join(root, "nodejs/bin/node"), constants.COPYFILE_FICLONE);
    await promisify(execFile)("chmod", ["-R", "a-w,a+rX", root]);
  }, 480_000);

  afterAll(async () => {
    await promisify(execFile)("chmod", ["-R", "u+w", folder]);
    await rm(folder, { recursive: true });
  });

  async function build(stage: Stage, stageRoot: string): Promise<void> {
    let workdir = stageRoot;
    const inStage = (path: string) => (path.startsWith("/") ? join(stageRoot, path) : join(workdir, path));
    await mkdir(stageRoot, { recursive: true });
    for (const { name, rest, flags } of stage.instructions) {
      if (name === "WORKDIR") {
        workdir = inStage(rest);
        await mkdir(workdir, { recursive: true });
      } else if (name === "RUN") {
        // npm of the image runs on its Node 26.
        const PATH = [dirname(process.execPath), process.env["PATH"]].join(delimiter);
        await promisify(execFile)("sh", ["-c", rest], { cwd: workdir, env: { ...process.env, PATH } });
      } else if (name === "COPY") {
        const words = rest.split(" ");
        const target = words.at(-1)!;
        for (const source of words.slice(0, -1)) {
          const from =
            flags["from"] === undefined ? join(checkout, source) : join(folder, flags["from"], source);
          await cp(from, target.endsWith("/") ? join(inStage(target), basename(source)) : inStage(target), {
            recursive: true,
          });
        }
      }
    }
  }

  /** A command of the image: absolute paths are the image's, the user is the image's when this runs as root. */
  function run(command: readonly string[], environment: Record<string, string>) {
    const [program = "", ...args] = command.map((word) => (word.startsWith("/") ? join(root, word) : word));
    const user = process.getuid?.() === 0 ? { uid: 65_532, gid: 65_532 } : {};
    // Nothing of this test's environment: a container has only its own.
    const env = { ...imageEnvironment, ...environment, HOME: "/nonexistent", TMPDIR: root };
    const child = spawn(program, args, {
      cwd: join(root, "app"),
      env,
      stdio: ["ignore", "pipe", "pipe"],
      ...user,
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => (output += text));
    const ended = new Promise<number | null>((resolve, reject) => {
      child.on("error", reject);
      child.on("close", resolve);
    });
    return { child, ended, output: () => output };
  }

  test("the result is what the router needs and no more", async () => {
    expect((await readdir(join(root, "app"))).sort()).toEqual(["bin", "node_modules", "package.json", "src"]);
    const packages = await readdir(join(root, "app/node_modules"));
    for (const tool of ["typescript", "vitest", "oxlint", "node", "fast-check", "autocannon"])
      expect(packages).not.toContain(tool);
    const files = await readdir(join(root, "app/node_modules"), { recursive: true });
    expect(files.filter((file) => /\.(d\.[mc]?ts|map)$/.test(file))).toEqual([]);
    // A small image: every package beside the base is paid for at each pull.
    const { stdout } = await promisify(execFile)("du", ["-sk", join(root, "app")]);
    expect(Number(stdout.split("\t")[0])).toBeLessThan(110 * 1024);
  });

  test("has no laboratory: demo and load say in one line where to get it", async () => {
    for (const command of ["demo", "load"]) {
      const program = run([...entrypoint.slice(0, -1), command], {});
      expect(await program.ended, program.output()).toBe(1);
      expect(program.output()).toMatch(
        /^lychgate (demo|load): .* run it from a checkout of Lychgate [^\n]*\n$/,
      );
    }
  });

  test("starts read-only as its user, becomes healthy, answers, and ends with 0 on SIGTERM", async () => {
    const [traffic, peers, admin] = await freePorts(3);
    const environment = {
      LYCHGATE_LISTEN: `127.0.0.1:${traffic}`,
      LYCHGATE_PEER_LISTEN: `127.0.0.1:${peers}`,
      LYCHGATE_ADMIN_LISTEN: `127.0.0.1:${admin}`,
      LYCHGATE_DRAIN_DELAY_MS: "0",
    };
    expect(await run(healthcheck, environment).ended).toBe(1);

    const router = run([...entrypoint, "--source", "none"], environment);
    try {
      await eventually(
        async () => {
          expect(router.child.exitCode, router.output()).toBeNull();
          const probe = run(healthcheck, environment);
          expect(await probe.ended, probe.output()).toBe(0);
        },
        { timeoutMs: 20_000 },
      );
      const reply = await fetch(`http://127.0.0.1:${traffic}/`);
      expect(reply.status).toBe(404);
      expect(reply.headers.get("x-lychgate-reason")).toBeTruthy();
      expect((await fetch(`http://127.0.0.1:${admin}/metrics`)).status).toBe(200);
    } finally {
      router.child.kill("SIGTERM");
    }
    expect(await router.ended, router.output()).toBe(0);
    expect(router.output()).not.toMatch(/EROFS|EACCES|EPERM|Warning/);
  });
});

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  for (const server of servers) {
    await new Promise<void>((done) => {
      server.listen(0, "127.0.0.1", done);
    });
  }
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  for (const server of servers) {
    await new Promise((done) => {
      server.close(done);
    });
  }
  return ports;
}
