import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { type InstallOptions, installStaticRoutes } from "../../../src/node/static-routes/unit.ts";
import { unitText } from "../../../src/node/static-routes/unit.ts";
import { runInProcess } from "../../cli/run-lychgate.ts";

const UNIT = "etc/systemd/system/lychgate-static-routes.service";
const SPEC =
  "enabled: true\nroutes:\n  - {destination: 172.16.5.0/24}\n  - {destination: 10.7.0.0/16, gateway: 10.1.0.1, dev: ib0}\n";

const NO_SYSTEMD = spawnSync("systemd-analyze", ["--version"]).error
  ? "systemd-analyze is not installed"
  : undefined;

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "lychgate-root-"));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

/** Options for an image; what is said to systemctl on a machine is kept. */
function options(root: string, specText = SPEC): InstallOptions & { readonly said: string[] } {
  const said: string[] = [];
  return {
    program: [process.execPath, resolve("bin/lychgate.mjs")],
    before: "kubelet.service",
    specText,
    specName: "routes.yaml",
    root,
    live: false,
    systemctl: async (args) => void said.push(args.join(" ")),
    removeRoutes: async () => void said.push("remove routes"),
    said,
  };
}

const filesOf = (root: string) =>
  readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .toSorted();

test("an image gets the unit, its link and a copy of the specification, and nothing is started", async () => {
  const root = folder();
  const given = options(root);
  expect(await installStaticRoutes(given)).toBe("installed");
  expect(filesOf(root)).toEqual([
    "etc/lychgate/static-routes.yaml",
    "etc/systemd/system/kubelet.service.requires/lychgate-static-routes.service",
    UNIT,
  ]);
  expect(
    readlinkSync(join(root, "etc/systemd/system/kubelet.service.requires/lychgate-static-routes.service")),
  ).toBe("../lychgate-static-routes.service");
  expect(readFileSync(join(root, "etc/lychgate/static-routes.yaml"), "utf8")).toBe(SPEC);
  expect(given.said).toEqual([]);
});

test("the unit runs this very command before the kubelet, without a shell", async () => {
  const root = folder();
  await installStaticRoutes(options(root));
  const unit = readFileSync(join(root, UNIT), "utf8");
  const self = `${process.execPath} ${resolve("bin/lychgate.mjs")}`;
  const started = [...unit.matchAll(/^ExecStart=(.*)$/gm)].map(([, line]) => line);
  expect(started).toEqual([`${self} node static-routes apply --file /etc/lychgate/static-routes.yaml`]);
  expect(unit).toContain("\nBefore=kubelet.service\n");
  expect(unit).toContain("\nType=oneshot\nRemainAfterExit=yes\n");
  expect(unit).not.toMatch(/\/(ba)?sh\b/);
});

test("a second install changes nothing; a change of the specification alone makes the unit run again", async () => {
  const root = folder();
  await installStaticRoutes(options(root));
  const first = readFileSync(join(root, UNIT), "utf8");
  expect(await installStaticRoutes(options(root))).toBe("unchanged");
  expect(readFileSync(join(root, UNIT), "utf8")).toBe(first);
  // The same destinations, so the same command lines.
  expect(await installStaticRoutes(options(root, SPEC.replace("10.1.0.1", "10.1.0.2")))).toBe("updated");
  expect(readFileSync(join(root, UNIT), "utf8")).not.toBe(first);
});

test("on a machine it starts the unit, runs it again after a change without stopping the kubelet, and lets go of it in order", async () => {
  const root = folder();
  const steps = async (specText: string) => {
    const given = { ...options(root, specText), live: true };
    await installStaticRoutes(given);
    return given.said;
  };
  const name = "lychgate-static-routes.service";
  expect(await steps(SPEC)).toEqual(["daemon-reload", `reload-or-restart ${name}`]);
  expect(await steps(SPEC)).toEqual([`start ${name}`]);
  expect(await steps(`${SPEC}# changed\n`)).toEqual(["daemon-reload", `reload-or-restart ${name}`]);
  // Stopped only when the kubelet does not require it any more, else that would stop too.
  expect(await steps("enabled: false")).toEqual([
    "remove routes",
    "daemon-reload",
    `stop ${name}`,
    "daemon-reload",
  ]);
  expect(await steps("enabled: false")).toEqual(["remove routes"]);
});

test("a specification that empties takes everything away, again and again", async () => {
  const root = folder();
  await installStaticRoutes(options(root));
  expect(await installStaticRoutes(options(root, "enabled: false"))).toBe("removed");
  expect(filesOf(root)).toEqual([]);
  expect(await installStaticRoutes(options(root, "enabled: true\nroutes: []"))).toBe("nothing");
});

describe("another --before than last time", () => {
  const linkOf = (unit: string) => `etc/systemd/system/${unit}.requires/lychgate-static-routes.service`;

  test("lets go of the unit that was named then: only one unit requires the routes", async () => {
    const root = folder();
    await installStaticRoutes({ ...options(root), before: "crio.service" });
    expect(filesOf(root)).toContain(linkOf("crio.service"));
    expect(await installStaticRoutes(options(root))).toBe("updated");
    expect(filesOf(root)).toContain(linkOf("kubelet.service"));
    expect(filesOf(root)).not.toContain(linkOf("crio.service"));
  });

  test("at the removal leaves no link to a unit that is gone, which would keep the runtime from starting", async () => {
    const root = folder();
    await installStaticRoutes({ ...options(root), before: "crio.service" });
    expect(await installStaticRoutes(options(root, "enabled: false"))).toBe("removed");
    expect(filesOf(root)).toEqual([]);
  });

  test("what an earlier version left dangling is cleaned up, though the unit is gone", async () => {
    const root = folder();
    await installStaticRoutes({ ...options(root), before: "crio.service" });
    rmSync(join(root, UNIT));
    expect(await installStaticRoutes(options(root, "enabled: false"))).toBe("removed");
    expect(filesOf(root)).toEqual([]);
  });
});

test("a faulty specification changes nothing", async () => {
  const root = folder();
  await installStaticRoutes(options(root));
  const before = filesOf(root).map((path) => readFileSync(join(root, path), "utf8"));
  await expect(
    installStaticRoutes(options(root, "enabled: true\nroutes: [{destination: 10/8}]")),
  ).rejects.toThrow("routes[0].destination");
  expect(filesOf(root).map((path) => readFileSync(join(root, path), "utf8"))).toEqual(before);
});

test("the command line: --root, and what is wrong with a flag", async () => {
  const root = folder();
  const file = join(root, "routes.yaml");
  writeFileSync(file, SPEC);
  const run = (...args: string[]) =>
    runInProcess([
      "node",
      "static-routes",
      "install",
      "--file",
      file,
      "--root",
      join(root, "image"),
      ...args,
    ]);
  expect(await run("--program", "/usr/bin/lychgate", "--before", "k3s.service")).toMatchObject({
    code: 0,
    stdout: "lychgate-static-routes.service: installed\n",
  });
  expect(filesOf(join(root, "image"))).toContain(
    "etc/systemd/system/k3s.service.requires/lychgate-static-routes.service",
  );
  expect(await run("--program", "lychgate")).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("absolute path"),
  });
  expect(await run("--before", "a b")).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("--before"),
  });
  expect(await run("--program", "/usr/bin/lychgate", "--before", "k3s.service", "--json")).toMatchObject({
    code: 0,
    stdout: '{"unit":"lychgate-static-routes.service","installed":"unchanged"}\n',
  });
});

test.skipIf(NO_SYSTEMD)(`systemd-analyze verify passes${NO_SYSTEMD ? ` (${NO_SYSTEMD})` : ""}`, async () => {
  const root = folder();
  await installStaticRoutes(options(root));
  const verify = (path: string) => spawnSync("systemd-analyze", ["verify", path], { encoding: "utf8" });
  expect(verify(join(root, UNIT))).toMatchObject({ status: 0, stderr: "", stdout: "" });
  // It would see a fault.
  writeFileSync(join(root, "broken.service"), "[Service]\nType=oneshoe\nExecStart=/bin/true\n");
  expect(verify(join(root, "broken.service")).stderr).toContain("oneshoe");
});

test.skipIf(NO_SYSTEMD)(
  `awkward paths stay one word each for systemd${NO_SYSTEMD ? ` (${NO_SYSTEMD})` : ""}`,
  () => {
    const root = folder();
    const unit = unitText({
      program: [process.execPath, '/opt/a b/100%$HOME"\\.mjs'],
      specPath: "/etc/lychgate/static-routes.yaml",
      specSha256: "0",
      before: "kubelet.service",
    });
    expect(unit).toContain('"/opt/a b/100%%$$HOME\\"\\\\.mjs" node static-routes apply');
    const path = join(root, "lychgate-static-routes.service");
    writeFileSync(path, unit);
    expect(spawnSync("systemd-analyze", ["verify", path], { encoding: "utf8" })).toMatchObject({
      status: 0,
      stderr: "",
    });
  },
);
