import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { IpRoute } from "../../src/node/iproute.ts";
import { makeNamespace, NO_NAMESPACES } from "./support/namespaces.ts";

describe.skipIf(NO_NAMESPACES)(`iproute2 in a namespace${NO_NAMESPACES ? ` (${NO_NAMESPACES})` : ""}`, () => {
  test("what is listed comes parsed, with all details", async () => {
    const { ip } = makeNamespace("json");
    const links = await ip.json(["link", "show"]);
    expect(links).toMatchObject([{ ifname: "lo" }]);
  });

  test("a table that was never made is empty", async () => {
    const { ip } = makeNamespace("table");
    expect(await ip.json(["route", "show", "table", "4711"])).toEqual([]);
  });

  test("a namespace by its path is the one by its name", async () => {
    const { sh, path } = makeNamespace("path");
    sh("link add one type veth peer name two");
    const byPath = new IpRoute({ namespace: { kind: "path", path } });
    const links = await byPath.json(["link", "show"]);
    expect(links).toEqual(expect.arrayContaining([expect.objectContaining({ ifname: "two" })]));
  });

  test("the kernel's refusal has a stable word, its own words, and the command", async () => {
    const { ip } = makeNamespace("refusal");
    await expect(ip.run(["route", "add", "10.0.0.0/8", "via", "10.0.0.1"])).rejects.toMatchObject({
      reason: "unreachable",
      said: expect.stringMatching(/gateway|unreachable/),
      command: "route add 10.0.0.0/8 via 10.0.0.1",
    });
    await expect(ip.run(["link", "show", "nowhere"])).rejects.toMatchObject({ reason: "not_found" });
    await expect(ip.run(["route", "add", "10.0.0.0/99", "dev", "lo"])).rejects.toMatchObject({
      reason: "bad_argument",
    });
  });

  test("a batch goes on after a refusal and says which line it was", async () => {
    const { ip, sh } = makeNamespace("batch");
    sh("link add one type veth peer name two");
    sh("link set one up");
    sh("link set two up");
    const failures = await ip.batch([
      "route add 10.1.0.0/16 dev one",
      "route add 10.2.0.0/16 via 192.0.2.1",
      "route add 10.3.0.0/16 dev one",
    ]);
    expect(failures).toMatchObject([{ index: 1, error: { reason: "unreachable" } }]);
    const routes = await ip.json(["route", "show"]);
    expect(routes).toMatchObject([{ dst: "10.1.0.0/16" }, { dst: "10.3.0.0/16" }]);
  });

  test("a batch that iproute2 gives up in the middle of is a fault, never a success", async () => {
    const { ip } = makeNamespace("abort");
    const batch = ip.batch([
      "route add 10.0.0.0/8 dev lo",
      "route add 10.1.0.0/99 dev lo",
      "route add 10.2.0.0/16 dev lo",
    ]);
    await expect(batch).rejects.toMatchObject({ reason: "bad_argument" });
    await expect(ip.batch(["link show\nlink show"])).rejects.toMatchObject({ reason: "bad_argument" });
  });

  test("many questions at once are answered in order, those that are refused too", async () => {
    const { ip, sh } = makeNamespace("many");
    sh("link add one type veth peer name two");
    sh("link set one up");
    sh("route add 10.1.0.0/16 dev one");
    const ask = (address: string) => `route get fibmatch ${address}`;
    expect(await ip.jsonBatch(["10.2.0.1", "10.1.0.1", "10.3.0.1", "127.0.0.1"].map(ask))).toMatchObject([
      { reason: "unreachable" },
      [{ dst: "10.1.0.0/16", dev: "one" }],
      { reason: "unreachable" },
      [{ dst: "127.0.0.1", type: "2" }],
    ]);
    expect(await ip.jsonBatch([])).toEqual([]);
    await expect(ip.jsonBatch([ask("10.1.0.1"), ask("10.1.0.x"), ask("10.1.0.2")])).rejects.toMatchObject({
      code: "invalid",
    });
  });

  test("a namespace that is not there", async () => {
    const named = new IpRoute({ namespace: { kind: "name", name: "lych-nowhere" } });
    await expect(named.json(["link"])).rejects.toMatchObject({ reason: "namespace" });
    const pathed = new IpRoute({ namespace: { kind: "path", path: "/run/netns/lych-nowhere" } });
    await expect(pathed.json(["link"])).rejects.toMatchObject({ code: "not_found" });
  });
});

/** Makes `script` the only `ip` of this process, beside the system's other programs. */
function fakeIp(script: string | undefined): string {
  const folder = mkdtempSync(join(tmpdir(), "lychgate-ip-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  if (script !== undefined) {
    writeFileSync(join(folder, "ip"), `#!/bin/sh\n${script}\n`);
    chmodSync(join(folder, "ip"), 0o755);
  }
  vi.stubEnv("PATH", script === undefined ? folder : `${folder}:${process.env["PATH"] ?? ""}`);
  onTestFinished(() => void vi.unstubAllEnvs());
  return folder;
}

describe("an iproute2 that is not as it should be", () => {
  test("one that is missing is told at once, and nothing keeps the process from ending", () => {
    const node = process.execPath;
    const folder = fakeIp(undefined);
    const script = `
      const { IpRoute } = await import(${JSON.stringify(join(import.meta.dirname, "../../src/node/iproute.ts"))});
      const error = await new IpRoute().json(["link"]).catch((error) => error);
      console.log(JSON.stringify([error.code, error.fix, process.getActiveResourcesInfo().includes("Timeout")]));`;
    const said = execFileSync(node, ["--input-type=module", "-e", script], {
      encoding: "utf8",
      env: { PATH: folder },
    });
    expect(JSON.parse(said)).toEqual([
      "missing_program",
      "install iproute2 (and util-linux for nsenter)",
      false,
    ]);
  });

  test.each([
    ["that does not know -json", 'echo \'Option "-json" is unknown, try "ip -help".\' >&2; exit 255'],
    ["that prints text for JSON", "echo '0: from all lookup local'"],
    ["of busybox", "echo 'ip: unrecognized option: j' >&2; exit 1"],
  ])("one %s is named with its version and the version that is needed", async (_, script) => {
    fakeIp(`if [ "$1" = -V ]; then echo ip utility, iproute2-ss170501; exit 0; fi; ${script}`);
    await expect(new IpRoute().json(["rule", "show"])).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining("iproute2-ss170501"),
      fix: expect.stringContaining("iproute2 4.17"),
    });
  });

  test("one that hangs, with a child that holds its output, is given up in time", async () => {
    const folder = fakeIp(`sleep 600 & echo $! > "$0.child"; wait`);
    onTestFinished(() => void execFileSync("sh", ["-c", `kill $(cat ${folder}/ip.child)`]));
    await expect(new IpRoute({ timeoutMs: 1500 }).json(["link"])).rejects.toMatchObject({ code: "timeout" });
  });
});
