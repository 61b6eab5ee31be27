import fc from "fast-check";
import { chmodSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { type Clock, systemClock } from "../../src/system/clock.ts";
import {
  ExecPlugin,
  type ExecPluginOptions,
  parseExecConfig,
  parseExecCredential,
} from "../../src/watch/exec-plugin.ts";
import { eventually } from "../support/eventually.ts";
import { Scratch } from "./support/kubeconfig.ts";

// Credential plugins as real processes.

const V1 = "client.authentication.k8s.io/v1";
const V1BETA1 = "client.authentication.k8s.io/v1beta1";
const SECRET = "s3cr3t-token";
const WHO = 'user "u" of the kubeconfig /k/config';

interface PluginParts {
  readonly exec?: Readonly<Record<string, unknown>>;
  readonly options?: Partial<ExecPluginOptions>;
}

/** A plugin that is a Node script, with its kubeconfig in `scratch`. */
function pluginOf(scratch: Scratch, script: string, { exec, options }: PluginParts = {}): ExecPlugin {
  const raw = {
    apiVersion: V1,
    command: process.execPath,
    args: [scratch.write("plugin.cjs", script)],
    ...exec,
  };
  return new ExecPlugin({
    config: parseExecConfig(raw, WHO, scratch.path),
    cluster: () => ({}),
    env: process.env,
    clock: systemClock,
    ...options,
  });
}

/** Prints a credential whose token is `run-<how often it ran>`; `more` is an expression for the rest of its status. */
function counting(more = "{}", apiVersion = V1): string {
  return `const fs = require("fs"); const f = __dirname + "/runs"; fs.appendFileSync(f, "x");
    const status = { token: "run-" + fs.readFileSync(f).length, ...${more} };
    console.log(JSON.stringify({ apiVersion: "${apiVersion}", kind: "ExecCredential", status }));`;
}

async function failureOf(promise: Promise<unknown>): Promise<Error> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toMatchObject({ name: "CredentialsError", code: "auth_failed" });
  const { message, cause, stack } = error as Error;
  expect(message + String(cause) + stack).not.toContain(SECRET);
  return error as Error;
}

test.each([V1, V1BETA1])(
  "%s: a plugin gets its args, its env beside ours, and KUBERNETES_EXEC_INFO",
  async (apiVersion) => {
    using scratch = new Scratch();
    const script = `
    const { MINE, OURS, KUBERNETES_EXEC_INFO } = process.env;
    require("fs").writeFileSync(__dirname + "/seen", JSON.stringify({ MINE, OURS, args: process.argv.slice(2), info: JSON.parse(KUBERNETES_EXEC_INFO) }));
    ${counting("{}", apiVersion)}`;
    const seen = (): unknown => JSON.parse(readFileSync(join(scratch.path, "seen"), "utf8"));
    const args = [join(scratch.path, "plugin.cjs"), "get-token", "--quiet"];
    const env = [
      { name: "MINE", value: "1" },
      { name: "OURS", value: "replaced" },
    ];
    const cluster = { server: "https://k.example", config: { audience: "a" } };
    const options = { env: { ...process.env, OURS: "2" }, cluster: () => cluster };
    const open = (exec: object) =>
      pluginOf(scratch, script, { exec: { apiVersion, args, ...exec }, options });
    expect(
      await open({ env, provideClusterInfo: true, interactiveMode: "IfAvailable" }).credential(),
    ).toEqual({
      token: "run-1",
      certificate: undefined,
      expiresAtMs: Number.POSITIVE_INFINITY,
    });
    const info = { apiVersion, kind: "ExecCredential" };
    expect(seen()).toEqual({
      MINE: "1",
      OURS: "replaced",
      args: ["get-token", "--quiet"],
      info: { ...info, spec: { interactive: false, cluster } },
    });
    await open({}).credential();
    expect(seen()).toMatchObject({ OURS: "2", info: { ...info, spec: { interactive: false } } });
    expect(seen()).not.toHaveProperty("info.spec.cluster");
  },
);

test("a command with a slash is relative to the kubeconfig, one without is looked up in PATH", async () => {
  using scratch = new Scratch();
  mkdirSync(join(scratch.path, "bin"));
  const credential = JSON.stringify({ apiVersion: V1, kind: "ExecCredential", status: { token: "t" } });
  const path = scratch.write("bin/my-plugin", `#!/bin/sh\necho '${credential}'\n`);
  chmodSync(path, 0o755);
  for (const [command, PATH] of [
    ["bin/my-plugin", process.env["PATH"]],
    ["./bin/my-plugin", process.env["PATH"]],
    ["my-plugin", `${scratch.path}/bin:${process.env["PATH"]}`],
  ]) {
    const env = { ...process.env, PATH };
    const plugin = pluginOf(scratch, "", { exec: { command, args: [] }, options: { env } });
    expect((await plugin.credential()).token).toBe("t");
  }
});

test("a credential is kept until expirationTimestamp, and then the plugin runs again: once for all who ask", async () => {
  using scratch = new Scratch();
  let nowMs = Date.parse("2030-01-01T00:00:00Z");
  const clock: Clock = { ...systemClock, nowMs: () => nowMs };
  const expires = `{ expirationTimestamp: "2030-01-01T00:10:00Z" }`;
  const plugin = pluginOf(scratch, counting(expires), { options: { clock } });
  const tokens = async (): Promise<unknown[]> =>
    (await Promise.all([plugin.credential(), plugin.credential()])).map(({ token }) => token);
  expect(await tokens()).toEqual(["run-1", "run-1"]);
  nowMs += 600_000 - 1;
  expect(await tokens()).toEqual(["run-1", "run-1"]);
  nowMs += 1;
  expect(await tokens()).toEqual(["run-2", "run-2"]);
  // Expired already, by this clock: used for a second, so that not every request runs the plugin.
  nowMs += 999;
  expect(await tokens()).toEqual(["run-2", "run-2"]);
  nowMs += 1;
  expect(await tokens()).toEqual(["run-3", "run-3"]);
});

test("a plugin that failed is run again when it is asked again", async () => {
  using scratch = new Scratch();
  const once = `const fs = require("fs"); const mark = __dirname + "/mark";
    if (!fs.existsSync(mark)) { fs.writeFileSync(mark, ""); process.exit(1); }`;
  const plugin = pluginOf(scratch, `{ ${once} }\n${counting()}`);
  await failureOf(plugin.credential());
  expect((await plugin.credential()).token).toBe("run-1");
});

test.each<readonly [string, Readonly<Record<string, unknown>>, string, string]>([
  [
    "fails",
    {},
    `console.error("${SECRET}"); process.exit(3)`,
    "failed with exit code 3; run it by hand to see why (Install it: see https://x.example)",
  ],
  [
    "is killed",
    {},
    `console.log("${SECRET}"); process.kill(process.pid, "SIGTERM"); setTimeout(() => {}, 60_000)`,
    "was ended by SIGTERM; run it by hand to see why (Install it: see https://x.example)",
  ],
  [
    "is not installed",
    { command: "no-such-plugin", args: [SECRET] },
    "",
    "the credential plugin no-such-plugin of the kubeconfig is not installed or not in PATH (Install it: see https://x.example)",
  ],
  [
    "may not be executed",
    { command: "./plugin.cjs", args: [SECRET] },
    "",
    "plugin.cjs of the kubeconfig may not be executed",
  ],
  [
    "has an argument that none may have",
    { args: [`${SECRET}\0`] },
    "",
    "could not be started: args or env hold a null character",
  ],
  [
    "prints without end",
    {},
    `const line = "${SECRET}".repeat(5_000) + "\\n"; const more = () => process.stdout.write(line, more); more();`,
    "printed more than 1048576 bytes",
  ],
  [
    "prints no JSON",
    {},
    `console.log("${SECRET}")`,
    "printed something else than credentials: it is not JSON",
  ],
])("a plugin that %s is a clear error without its output", async (_, exec, script, message) => {
  using scratch = new Scratch();
  const hinted = { installHint: "Install it:\n\u001b[1msee https://x.example\n", ...exec };
  const { message: said } = await failureOf(pluginOf(scratch, script, { exec: hinted }).credential());
  expect(said.replace(" [1m", " ")).toContain(message);
  // oxlint-disable-next-line no-control-regex -- control characters are what must not be there
  expect(said).not.toMatch(/[\u0000-\u001f]/);
});

test("a plugin that does not end is killed, also when a process of its own holds the pipe", async () => {
  using scratch = new Scratch();
  const script = `const child = require("child_process").spawn("sleep", ["600"], { stdio: "inherit" });
    require("fs").writeFileSync(__dirname + "/child", String(child.pid));
    require("fs").writeFileSync(__dirname + "/pid", String(process.pid));
    setTimeout(() => {}, 600_000);`;
  const pipes = (): number => process.getActiveResourcesInfo().filter((name) => name === "PipeWrap").length;
  const pipesBefore = pipes();
  // Time passes when the plugin is known to run.
  let expire: () => void = () => {};
  const clock: Clock = {
    ...systemClock,
    setTimeout: (callback) => {
      expire = callback;
      return { clear() {} };
    },
  };
  const failing = failureOf(
    pluginOf(scratch, script, { options: { clock, timeLimitMs: 25_000 } }).credential(),
  );
  const pid = await pidOf(scratch);
  const child = Number(readFileSync(join(scratch.path, "child"), "utf8"));
  onTestFinished(() => void process.kill(child, "SIGKILL"));
  expire();
  expect((await failing).message).toContain("did not end within 25000 ms");
  await eventually(() => !isAlive(pid) && pipes() <= pipesBefore);
});

test("stop ends a run", async () => {
  using scratch = new Scratch();
  const script = `require("fs").writeFileSync(__dirname + "/pid", String(process.pid)); setTimeout(() => {}, 600_000);`;
  const plugin = pluginOf(scratch, script);
  const failing = failureOf(plugin.credential());
  const pid = await pidOf(scratch);
  plugin.stop();
  expect((await failing).message).toContain("was stopped");
  await eventually(() => !isAlive(pid));
});

test.each<readonly [string, unknown, string]>([
  ["of another kind", { kind: "Token" }, "it is not of kind ExecCredential"],
  [
    "of another version",
    { apiVersion: V1BETA1 },
    `it is not of apiVersion ${V1}, which the kubeconfig names`,
  ],
  ["without a status", { status: undefined }, "it has no status"],
  ["with nothing in it", { status: {} }, "it has neither a token nor a client certificate"],
  ["with a certificate alone", { status: { clientCertificateData: SECRET } }, "but not both"],
  ["with a key alone", { status: { token: "t", clientKeyData: SECRET } }, "but not both"],
  [
    "with a certificate that is none",
    { status: { clientCertificateData: SECRET, clientKeyData: SECRET } },
    "the client certificate is not PEM",
  ],
  ["with a date that is none", { status: { token: SECRET, expirationTimestamp: "soon" } }, "is no date"],
  ["with a number for a date", { status: { token: SECRET, expirationTimestamp: 1 } }, "is no date"],
])("a credential %s is refused without a word of it", (_, change, message) => {
  const credential = {
    apiVersion: V1,
    kind: "ExecCredential",
    status: { token: SECRET },
    ...(change as object),
  };
  expect(() => parseExecCredential(JSON.stringify(credential), V1)).toThrow(message);
  expect(() => parseExecCredential(JSON.stringify(credential), V1)).not.toThrow(SECRET);
});

test("whatever a plugin prints, it is a credential with a token or a certificate, or an error that quotes nothing of it", () => {
  const field = fc.oneof(fc.constant(SECRET), fc.jsonValue(), fc.constant(undefined));
  const status = fc.record({
    token: field,
    clientCertificateData: field,
    clientKeyData: field,
    expirationTimestamp: field,
  });
  const printed = fc.oneof(
    fc.string().map((text) => text + SECRET),
    fc.json(),
    status.map((value) => JSON.stringify({ apiVersion: V1, kind: "ExecCredential", status: value })),
  );
  fc.assert(
    fc.property(printed, (text) => {
      try {
        const { token, certificate, expiresAtMs } = parseExecCredential(text, V1);
        expect(token ?? certificate).toBeTruthy();
        expect(expiresAtMs).not.toBeNaN();
      } catch (error) {
        if ((error as Error).name === "AssertionError") throw error;
        expect((error as Error).message).not.toContain(SECRET);
      }
    }),
  );
});

test.each<readonly [string, unknown, string, string]>([
  ["no command", { apiVersion: V1 }, "kubeconfig_invalid", `the exec plugin of ${WHO} has no command`],
  [
    "a version that Kubernetes has dropped",
    { apiVersion: "client.authentication.k8s.io/v1alpha1", command: "aws" },
    "unsupported",
    `has apiVersion "client.authentication.k8s.io/v1alpha1"; use ${V1} or ${V1BETA1} (a newer aws may write it)`,
  ],
  [
    "an unknown interactiveMode",
    { apiVersion: V1, command: "aws", interactiveMode: "Sometimes" },
    "kubeconfig_invalid",
    "unknown interactiveMode; it is one of Never, IfAvailable, Always",
  ],
  [
    "a plugin that needs a terminal",
    { apiVersion: V1, command: "aws", interactiveMode: "Always" },
    "unsupported",
    "a router has no terminal",
  ],
  [
    "an argument that is no text",
    { apiVersion: V1, command: "aws", args: [1] },
    "kubeconfig_invalid",
    "args holds something that is not a text; quote it",
  ],
  [
    "a variable that is no text",
    { apiVersion: V1, command: "aws", env: [{ name: "A", value: true }] },
    "kubeconfig_invalid",
    "env holds something that is not a text; quote it",
  ],
])("%s is a clear error", (_, exec, code, message) => {
  const parse = () => parseExecConfig(exec, WHO, "/k");
  expect(parse).toThrow(expect.objectContaining({ code, message: expect.stringContaining(message) }));
});

test("what a kubeconfig may leave out", () => {
  const base = { apiVersion: V1, command: "aws" };
  const parsed = { ...base, args: [], env: {}, installHint: "", provideClusterInfo: false };
  expect(parseExecConfig(base, WHO, "/k")).toEqual(parsed);
  const empty = { ...base, args: null, env: null, installHint: null, interactiveMode: null };
  expect(parseExecConfig(empty, WHO, "/k")).toEqual(parsed);
  expect(parseExecConfig({ ...base, env: [{ name: "A" }] }, WHO, "/k").env).toEqual({ A: "" });
});

/** What the plugin wrote into its file `pid`, as soon as it has. */
function pidOf(scratch: Scratch): Promise<number> {
  return eventually(() => {
    const pid = Number(readFileSync(join(scratch.path, "pid"), "utf8"));
    expect(pid).toBeGreaterThan(0);
    return pid;
  });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
