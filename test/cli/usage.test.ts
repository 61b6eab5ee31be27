import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { COMMANDS } from "../../src/cli/main.ts";
import { commandHelp } from "../../src/cli/help.ts";
import { SETTINGS } from "../../src/config/settings.ts";
import { runInProcess, runLychgate, runLychgateWithClosedOutput } from "./run-lychgate.ts";

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string;
};

describe("without a command that it knows", () => {
  test("lychgate alone prints help as a message and exits 2", async () => {
    const { code, stdout, stderr } = await runLychgate([]);
    expect(code).toBe(2);
    expect(stdout).toBe("");
    const width = Math.max(...COMMANDS.map(({ name }) => name.length)) + 3;
    for (const { name, summary } of COMMANDS) {
      expect(stderr.split("\n")).toContain(`  ${name.padEnd(width)}${summary}`);
    }
  });

  test.each([
    [["sevre"], 'lychgate: unknown command "sevre"; did you mean "serve"?'],
    [["gibberish"], 'lychgate: unknown command "gibberish"'],
    [["--listen", ":80"], "lychgate: the command comes first: lychgate serve --listen …"],
    [["help", "sevre"], 'lychgate: unknown command "sevre"'],
  ])("%s exits 2", async (argv, message) => {
    const { code, stdout, stderr } = await runInProcess(argv);
    expect({ code, stdout, first: stderr.split("\n")[0] }).toEqual({ code: 2, stdout: "", first: message });
  });
});

test("host, what node was called before, works for one version and says so", async () => {
  const { code, stdout, stderr } = await runInProcess(["host", "overlap", "--help"]);
  expect(code).toBe(0);
  expect(stdout).toContain("lychgate node overlap");
  expect(stderr).toBe("lychgate host is called lychgate node now; the old name ends with the next version\n");
});

describe("with a wrong command line", () => {
  test.each([
    [["serve", "--lisetn", ":1"], "--lisetn: unknown flag; did you mean --listen?"],
    [["serve", "--source", "etcd"], '--source: source must be kubernetes or none; it is "etcd"'],
    [["serve", "extra"], 'lychgate: unexpected argument "extra"'],
    [["explain", "a", "--admni", "x"], "--admni: unknown flag; did you mean --admin?"],
    [["explain"], "lychgate: HOST is missing: lychgate explain HOST"],
    [["check-config"], "lychgate: FILE is missing: lychgate check-config FILE"],
    [["routes", "--json=yes"], "--json: takes no value"],
    [
      ["routes", "--admin", "ftp://x"],
      'lychgate: --admin must be a URL such as http://127.0.0.1:9902; it is "ftp://x"',
    ],
    [
      ["routes", "--admin-listen", ":0"],
      "lychgate: --admin-listen has port 0, so only the router knows its port: use --admin <url>",
    ],
    [
      ["health", "--url", "ftp://x"],
      'lychgate: --url must be a URL such as http://127.0.0.1:7789; it is "ftp://x"',
    ],
    [["routes", "--admin", "a:1", "--admin", "b:1"], "--admin: is given twice"],
    [
      ["check-config", "a.yaml", "--config", "b.yaml"],
      "lychgate: --config does not go with FILE: name one file only",
    ],
    [["demo", "--source", "none"], "--source: unknown flag"],
    [
      ["demo", "--sandboxes", "none"],
      'lychgate: --sandboxes must be an integer from 1 to 10000; it is "none"',
    ],
    [["load", "--duration-s", "0"], 'lychgate: --duration-s must be an integer from 1 to 86400; it is "0"'],
    [["load", "--churn"], "lychgate: --churn is for a router that runs already: give its --url too"],
    [
      ["load", "--url", "http://127.0.0.1:1", "--load-namespace", "a"],
      "lychgate: --url needs --kubeconfig: what answers is judged by what the cluster says",
    ],
    [
      ["load", "--url", "http://127.0.0.1:1", "--kubeconfig", "k"],
      "lychgate: --url needs --load-namespace: the namespace of the sandboxes to ask",
    ],
    [
      ["load", "--url", "http://10.0.0.1", "--kubeconfig", "k", "--load-namespace", "a"],
      "lychgate: --url is 10.0.0.1, which is not this machine: if you may load it, say so with --yes-load-this-router",
    ],
    [["version", "--listen", ":1"], "--listen: unknown flag"],
  ])("%s exits 2", async (argv, message) => {
    const { code, stdout, stderr } = await runInProcess(argv);
    expect({ code, stdout, first: stderr.split("\n")[0] }).toEqual({ code: 2, stdout: "", first: message });
    expect(stderr).toMatch(/\nRun "lychgate [a-z-]+ --help" for (more|the flags)\.\n$/);
  });

  test("serve tells every fault of line, environment and file, and starts nothing", async () => {
    const { code, stdout, stderr } = await runLychgate(["serve", "--nope", "--config", "/nonexistent.yaml"], {
      LYCHGATE_WATCH_PAGESIZE: "1",
    });
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr.split("\n").slice(0, 4)).toEqual([
      "--nope: unknown flag",
      "LYCHGATE_WATCH_PAGESIZE: unknown variable; did you mean LYCHGATE_WATCH_PAGE_SIZE?",
      expect.stringContaining("/nonexistent.yaml:1:1: the file can't be read: ENOENT"),
      "lychgate serve: 3 faults in the configuration",
    ]);
  });

  test("a file that is not there is told with the variable that names it", async () => {
    const { code, stderr } = await runInProcess(["serve"], { LYCHGATE_CONFIG: "/nonexistent.yaml" });
    expect(code).toBe(1);
    expect(stderr).toContain(
      "/nonexistent.yaml:1:1: the file that LYCHGATE_CONFIG names can't be read: ENOENT",
    );
  });

  test("a fault of environment or file alone is no usage fault: exit 1", async () => {
    const { code, stderr } = await runInProcess(["serve"], { LYCHGATE_LISTEN: "oops" });
    expect(code).toBe(1);
    expect(stderr).toBe(
      'LYCHGATE_LISTEN: listen must be [host]:port, such as ":7788"; it is "oops"\nlychgate serve: 1 fault in the configuration\n',
    );
  });
});

describe("help", () => {
  test.each([[["--help"]], [["-h"]], [["help"]]])(
    "%s prints the program's help as data, exit 0",
    async (argv) => {
      const { code, stdout, stderr } = await runInProcess(argv);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(stdout).toContain("Usage: lychgate <command> [flags]");
      expect(stdout).toContain("\nExamples:\n");
    },
  );

  test("of a command, also beside a wrong flag", async () => {
    const { code, stdout, stderr } = await runInProcess(["serve", "--nope", "--help"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toBe(commandHelp(COMMANDS[0]!));
  });

  test.each(COMMANDS.map((command) => [command.name, command] as const))(
    "%s has usage, examples and every flag",
    (name, command) => {
      const help = commandHelp(command);
      expect(help).toMatch(new RegExp(`^Usage: lychgate ${name}`));
      expect(help).toContain(`\n  lychgate ${command.examples[0]?.[0]}`);
      for (const flag of command.flags) expect(help).toContain(`--${flag.name}`);
      for (const setting of command.settings) expect(help).toContain(`  ${setting.flag}`);
      expect(help.includes("  --config")).toBe(
        ["serve", "demo", "explain", "preview", "routes", "top", "health", "node overlap"].includes(name),
      );
      for (const line of help.split("\n")) expect(line.length).toBeLessThanOrEqual(100);
    },
  );

  test("serve takes every setting as a flag", () => {
    expect(COMMANDS[0]?.settings).toBe(SETTINGS);
  });
});

describe("version", () => {
  test.each([[["version"]], [["--version"]], [["-v"]]])("%s", async (argv) => {
    const { code, stdout, stderr } = await runInProcess(argv);
    expect({ code, stdout, stderr }).toEqual({
      code: 0,
      stdout: `lychgate ${version} (node ${process.version})\n`,
      stderr: "",
    });
  });

  test("of the real launcher", async () => {
    expect((await runLychgate(["--version"])).stdout).toBe(`lychgate ${version} (node ${process.version})\n`);
  });

  test("--json", async () => {
    const { stdout } = await runInProcess(["version", "--json"]);
    expect(JSON.parse(stdout)).toEqual({ lychgate: version, node: process.version });
  });
});

test("a reader that has left is no failure", async () => {
  expect(await runLychgateWithClosedOutput(["check-config", "/dev/null"])).toEqual({ code: 0, stderr: "" });
});
