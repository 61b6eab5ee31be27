import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { overlapUnit } from "../../../src/host/overlap/unit.ts";
import { unitText } from "../../../src/host/static-routes/unit.ts";
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

interface Container {
  readonly args: readonly string[];
  readonly readinessProbe: { readonly exec: { readonly command: readonly string[] } };
  readonly volumeMounts: readonly { readonly mountPath: string }[];
}

test("the DaemonSet's command lines are understood, and write where a folder is mounted", async () => {
  const [, daemonSet] = parseAllDocuments(read("deploy/host/overlap-daemonset.yaml")).map(
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
