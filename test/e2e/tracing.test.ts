import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { startRouterProcess } from "../support/router-process.ts";

const repository = resolve(import.meta.dirname, "../..");

test.each([1, 2])(
  "the example of docs/tracing.md prints the spans of a request, with %i workers",
  async (workers) => {
    const documented = /```js\n(\/\/ tracing\.mjs[\s\S]*?)```/.exec(
      readFileSync(join(repository, "docs/tracing.md"), "utf8"),
    )?.[1];
    // In the repository: there the SDK's packages are found.
    const directory = mkdtempSync(join(repository, "node_modules/.tracing-test-"));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const file = join(directory, "tracing.mjs");
    writeFileSync(file, documented ?? "");
    const router = await startRouterProcess(["--source=none", `--workers=${workers}`], {
      nodeFlags: ["--import", file],
    });
    onTestFinished(async () => {
      router.kill("SIGKILL");
      await router.exited;
    });
    const answered = async () => (await fetch(`http://${router.traffic}/`)).status === 404;
    await eventually(answered, { timeoutMs: 10_000 });
    const printed = () => router.stdout.join("\n");
    await eventually(() => printed().includes("'lychgate.reason': 'no_sandbox'"), { timeoutMs: 10_000 });
    expect(printed()).toContain("'lychgate.verdict': 'no_sandbox'");
    expect(router.stderr.join("\n")).toContain("an OpenTelemetry SDK is loaded");
  },
);
