import { createHash } from "node:crypto";
import { spawnSync } from "node:child_process";
import { readFileSync, realpathSync } from "node:fs";
import { expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { overlapUnit } from "../../../src/node/overlap/unit.ts";
import { unitText } from "../../../src/node/static-routes/unit.ts";
import { runInProcess } from "../../cli/run-lychgate.ts";

const read = (path: string) => readFileSync(path, "utf8");

test("the example unit is what install writes for the example specification", () => {
  const spec = read("deploy/systemd/static-routes.yaml");
  const unit = unitText({
    program: ["/usr/local/bin/lychgate"],
    specPath: "/etc/lychgate/static-routes.yaml",
    specSha256: createHash("sha256").update(spec).digest("hex"),
    before: "kubelet.service",
  });
  expect(read("deploy/systemd/lychgate-static-routes.service")).toBe(unit);
});

test("the example unit of the check is what install writes in mode strict", () => {
  const { text } = overlapUnit({
    program: ["/usr/local/bin/lychgate"],
    before: "kubelet.service",
    mode: "strict",
    cidrs: ["10.244.0.0/16"],
    alsoInterfaces: [],
  });
  expect(read("deploy/systemd/lychgate-overlap.service")).toBe(text);
});

/** What the tools start, beside systemd's own programs on a machine that has systemd. */
const PROGRAMS = ["ip", "tc", "nsenter", "unshare", "sh", "grep", "cat"];
const NO_DPKG = spawnSync("dpkg", ["--version"]).error ? " (no dpkg)" : "";

test.skipIf(NO_DPKG)(`the image has every program that the tools start${NO_DPKG}`, () => {
  const output = (...command: readonly [string, ...string[]]) =>
    spawnSync(command[0], command.slice(1), { encoding: "utf8" }).stdout.trim();
  const dockerfile = read("deploy/node/Dockerfile");
  const [, installed = ""] = /apt-get install -y --no-install-recommends ([^&\\]*)/.exec(dockerfile) ?? [];
  for (const program of PROGRAMS) {
    const path = realpathSync(output("sh", "-c", `command -v ${program}`));
    const owner = /^([^:]+):/m.exec(
      output("dpkg", "-S", path) || output("dpkg", "-S", path.replace(/^\/usr/, "")),
    )?.[1];
    const isEssential = output("dpkg-query", "-W", "-f", "${Essential}", owner ?? "") === "yes";
    expect({
      program,
      owner,
      has: isEssential || (owner !== undefined && installed.split(/\s+/).includes(owner)),
    }).toMatchObject({
      has: true,
    });
  }
});

interface Container {
  readonly args: readonly string[];
  readonly readinessProbe: { readonly exec: { readonly command: readonly string[] } };
  readonly volumeMounts: readonly { readonly mountPath: string }[];
}

test("the DaemonSet's command lines are understood, and write where a folder is mounted", async () => {
  const [, daemonSet] = parseAllDocuments(read("deploy/node/overlap-daemonset.yaml")).map(
    (document) =>
      document.toJS() as {
        readonly spec: {
          readonly template: { readonly spec: { readonly containers: readonly Container[] } };
        };
      },
  );
  const [container] = daemonSet?.spec.template.spec.containers ?? [];
  const [program, ...probe] = container?.readinessProbe.exec.command ?? [];
  expect(program).toBe("lychgate");
  const once = container?.args.filter((word) => !/^--(every-s|marker-file|metrics-file)=/.test(word)) ?? [];
  for (const line of [probe, once]) {
    // Understood whole, so that it gets as far as a namespace that isn't there.
    const { code, stderr } = await runInProcess([...line, "--netns", "/no/such/namespace"]);
    expect(stderr).toMatch(/no\/such\/namespace|nsenter/);
    expect(code).toBe(1);
  }
  for (const word of container?.args ?? []) {
    const folder = /^--(?:marker|metrics)-file=(.*)\/[^/]+$/.exec(word)?.[1];
    if (folder) expect(container?.volumeMounts.map(({ mountPath }) => mountPath)).toContain(folder);
  }
  const cidrs = (words: readonly string[]) => words.filter((word) => /^--(cidr|also-interface)=/.test(word));
  expect(cidrs(probe)).toEqual(cidrs(container?.args ?? []));
});
