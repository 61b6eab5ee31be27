import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { runInProcess } from "../../cli/run-lychgate.ts";

const UNIT = "etc/systemd/system/lychgate-overlap.service";
const NO_SYSTEMD = spawnSync("systemd-analyze", ["--version"]).error
  ? " (systemd-analyze is not installed)"
  : "";

function image() {
  const root = mkdtempSync(join(tmpdir(), "lychgate-root-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  return {
    root,
    files: () =>
      readdirSync(root, { recursive: true, withFileTypes: true })
        .filter((entry) => !entry.isDirectory())
        .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
        .toSorted(),
    install: (...args: string[]) =>
      runInProcess([
        "node",
        "overlap",
        "install",
        "--root",
        root,
        ...(args.includes("--program") ? [] : ["--program", "/usr/bin/lychgate"]),
        ...args,
      ]),
  };
}

test("without any static route, the kubelet requires the check of mode strict and starts after it", async () => {
  const { root, files, install } = image();
  expect(await install("--mode", "strict", "--cidr", "10.244.0.0/16")).toMatchObject({
    code: 0,
    stdout: "lychgate-overlap.service: installed\n",
  });
  expect(files()).toEqual(["etc/systemd/system/kubelet.service.requires/lychgate-overlap.service", UNIT]);
  const unit = readFileSync(join(root, UNIT), "utf8");
  expect(unit).toContain("\nBefore=kubelet.service\n");
  expect(unit).toContain(
    "\nExecStart=/usr/bin/lychgate node overlap --mode strict --wait-s 30 --marker-file /run/lychgate/overlap.json --cidr 10.244.0.0/16\n",
  );
});

test("mode warn is only wanted, a change of the mode or of --before leaves one link, and --remove none", async () => {
  const { files, install } = image();
  await install("--mode", "strict", "--cidr", "10.244.0.0/16", "--before", "crio.service");
  expect(await install("--cidr", "10.244.0.0/16", "--also-interface", "lxc*")).toMatchObject({
    stdout: "lychgate-overlap.service: updated\n",
  });
  expect(files()).toEqual(["etc/systemd/system/kubelet.service.wants/lychgate-overlap.service", UNIT]);
  expect(await install("--remove", "--json")).toMatchObject({
    code: 0,
    stdout: '{"unit":"lychgate-overlap.service","installed":"removed"}\n',
  });
  expect(files()).toEqual([]);
});

test("what is wrong with a flag changes nothing", async () => {
  const { files, install } = image();
  expect(await install()).toMatchObject({ code: 2, stderr: expect.stringContaining("--cidr is missing") });
  expect(await install("--cidr", "10/8")).toMatchObject({ code: 2, stderr: expect.stringContaining("10/8") });
  expect(await install("--cidr", "10.0.0.0/8", "--mode", "loud")).toMatchObject({ code: 2 });
  expect(files()).toEqual([]);
});

test.skipIf(NO_SYSTEMD)(`systemd-analyze verify passes${NO_SYSTEMD}`, async () => {
  const { root, install } = image();
  await install("--mode", "strict", "--cidr", "10.244.0.0/16", "--program", process.execPath);
  const path = join(root, UNIT);
  expect(spawnSync("systemd-analyze", ["verify", path], { encoding: "utf8" })).toMatchObject({
    status: 0,
    stderr: "",
  });
});
