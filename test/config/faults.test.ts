import { describe, expect, test } from "vitest";
import { ConfigError } from "../../src/config/config-error.ts";
import { parseFlags } from "../../src/config/flags.ts";
import { loadConfig } from "../../src/config/load.ts";
import { faults, load } from "./support.ts";

describe("unknown names are faults that name the nearest known one", () => {
  test.each([
    [
      "watch:\n  pagesize: 1",
      'lychgate.yaml:2:3: unknown key "watch.pagesize"; did you mean "watch.pageSize"?',
    ],
    ["logformat: text", 'lychgate.yaml:1:1: unknown key "logformat"; did you mean "logFormat"?'],
    ["pageSize: 1", 'lychgate.yaml:1:1: unknown key "pageSize"; did you mean "watch.pageSize"?'],
    ["wacth: {}", 'lychgate.yaml:1:1: unknown key "wacth"; did you mean "watch"?'],
    [
      "watch.pageSize: 1",
      'lychgate.yaml:1:1: unknown key "watch.pageSize"; write "pageSize" inside the section "watch"',
    ],
    ["somethingElseAltogether: 1", 'lychgate.yaml:1:1: unknown key "somethingElseAltogether"'],
  ])("in the file: %s", (file, fault) => {
    expect(faults({ file })).toEqual([fault]);
  });

  test("a flag", () => {
    expect(faults({ argv: ["--watch-pagesize", "1"] })).toEqual([
      "--watch-pagesize: unknown flag; did you mean --watch-page-size?",
    ]);
    expect(faults({ argv: ["--pizza"] })).toEqual(["--pizza: unknown flag"]);
  });

  test("an environment variable", () => {
    expect(faults({ environment: { LYCHGATE_WATCH_PAGESIZE: "1" } })).toEqual([
      "LYCHGATE_WATCH_PAGESIZE: unknown variable; did you mean LYCHGATE_WATCH_PAGE_SIZE?",
    ]);
  });

  test("the variables that Kubernetes makes for a Service named lychgate are passed over", () => {
    const environment = {
      LYCHGATE_SERVICE_HOST: "10.0.0.1",
      LYCHGATE_SERVICE_PORT: "7788",
      LYCHGATE_SERVICE_PORT_HTTP_METRICS: "9902",
      LYCHGATE_PORT: "tcp://10.0.0.1:7788",
      LYCHGATE_PORT_7788_TCP: "tcp://10.0.0.1:7788",
      LYCHGATE_PORT_7788_TCP_PROTO: "tcp",
      LYCHGATE_PORT_7788_TCP_PORT: "7788",
      LYCHGATE_PORT_7788_TCP_ADDR: "10.0.0.1",
      LYCHGATE_PEERS_SERVICE_HOST: "10.0.0.2",
      LYCHGATE_PEERS_PORT: "udp://10.0.0.2:7789",
    };
    expect(faults({ environment })).toEqual([]);
    expect(faults({ environment: { LYCHGATE_PORT: "7788" } })).toHaveLength(1);
  });
});

describe("faulty values are named with the rule they break and what was given", () => {
  test.each([
    ["watch: { pageSize: 0 }", "1:20: watch.pageSize must be an integer from 1 to 10000; it is 0"],
    ["watch: { pageSize: 1.5 }", "1:20: watch.pageSize must be an integer from 1 to 10000; it is 1.5"],
    ["watch: { pageSize: '7' }", '1:20: watch.pageSize must be an integer from 1 to 10000; it is "7"'],
    [
      "drain: { delayMs: -1 }",
      "1:19: drain.delayMs must be a number of milliseconds from 0 to 600000; it is -1",
    ],
    ["source: etcd", '1:9: source must be kubernetes or none; it is "etcd"'],
    ["target: { strict: yes }", '1:19: target.strict must be true or false; it is "yes"'],
    ["listen: 7788", "1:9: listen must be a text ([host]:port); it is 7788"],
    ["listen: '7788'", '1:9: listen must be [host]:port, such as ":7788"; it is "7788"'],
    ["namespace: a", '1:12: namespace must be a list of namespaces; it is "a"'],
    [
      "namespace: [a, B]",
      '1:16: namespace must be the name of a namespace: lower-case letters, digits and dashes, at most 63; it is "B"',
    ],
    [
      "target: { pathPrefix: /kruise/ }",
      '1:23: target.pathPrefix must be empty, or a path such as /kruise without a slash at its end; it is "/kruise/"',
    ],
    [
      "target: { sandboxHeader: Host }",
      '1:26: target.sandboxHeader must not be a header that HTTP itself uses; it is "Host"',
    ],
    ["auth: { accessTokenHeader: '' }", '1:28: auth.accessTokenHeader must be a header name; it is ""'],
    ["logLevel:", "1:1: logLevel has no value; take the key out to use its default"],
    ["watch: 5", "1:8: watch must be a mapping of keys to values"],
    ["[1]", "1:1: the file must be a mapping of keys to values"],
  ])("in the file: %s", (file, fault) => {
    expect(faults({ file })).toEqual([`lychgate.yaml:${fault}`]);
  });

  test.each([
    [
      ["--watch-page-size", "many"],
      '--watch-page-size: watch.pageSize must be an integer from 1 to 10000; it is "many"',
    ],
    [
      ["--watch-page-size", "99999999999999999999"],
      '--watch-page-size: watch.pageSize must be an integer from 1 to 10000; it is "99999999999999999999"',
    ],
    [["--target-strict=1"], '--target-strict: target.strict must be true or false; it is "1"'],
    [["--listen"], "--listen: needs a value: --listen [host]:port"],
    [["--source", "--listen", ":1"], "--source: needs a value: --source kubernetes|none"],
    [["--listen", ":1", "--listen", ":2"], "--listen: is given twice"],
  ])("as flags: %s", (argv, fault) => {
    expect(faults({ argv })).toContain(fault);
  });

  test("a long value is cut in the message", () => {
    const [fault = ""] = faults({ environment: { LYCHGATE_LISTEN: "x".repeat(5000) } });
    expect(fault.length).toBeLessThan(200);
  });
});

describe("YAML", () => {
  test.each([
    ["listen: :1\nlisten: :2\n", "2:1: this key stands twice in its section"],
    ["watch: &a {}\ndrain: *a\n", "2:8: aliases are not supported: write the value out"],
    ["listen: :1\n---\nlisten: :2\n", "2:1: only one document may stand in the file"],
  ])("%s", (file, fault) => {
    expect(faults({ file })).toContain(`lychgate.yaml:${fault}`);
  });

  test("broken syntax is told with its place, and nothing is guessed from the rest", () => {
    const told = faults({ file: "watch: [1\nnonsense: 2\n" });
    expect(told.length).toBeGreaterThan(0);
    for (const fault of told) expect(fault).toMatch(/^lychgate\.yaml:\d+:\d+: not valid YAML: /);
  });

  test("an alias bomb and a cyclic alias are refused, not expanded", () => {
    const bomb = [
      "a: &a [x,x,x,x,x,x,x,x,x]",
      ..."bcdefghij".split("").map((name, i) => `${name}: &${name} [${`*${"abcdefghi"[i]},`.repeat(9)}]`),
    ];
    expect(faults({ file: bomb.join("\n") }).length).toBeGreaterThan(0);
    expect(faults({ file: "namespace: &n [*n]" }).length).toBeGreaterThan(0);
  });

  test("an empty file, a comment and an empty section say nothing; JSON is YAML", () => {
    expect(faults({ file: "" })).toEqual([]);
    expect(faults({ file: "# nothing\n" })).toEqual([]);
    expect(faults({ file: "watch:\n  # pageSize: 1\n" })).toEqual([]);
    expect(load({ file: '\uFEFF{"watch": {"pageSize": 9}}' }).config.watch.pageSize).toBe(9);
  });

  test("a file that can't be read is one fault", () => {
    try {
      loadConfig({
        flags: parseFlags(["--config", "gone.yaml"]),
        environment: {},
        readFile() {
          throw new Error("ENOENT: no such file or directory");
        },
      });
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(ConfigError);
      expect((error as ConfigError).problems).toMatchObject([{ code: "unreadable_file" }]);
      expect((error as ConfigError).message).toContain("gone.yaml:1:1: the file can't be read: ENOENT");
    }
  });
});

describe("settings that do not go together", () => {
  test("two listeners on one socket", () => {
    expect(faults({ argv: ["--peer-listen", ":7788"] })).toEqual([
      "--peer-listen: peerListen must not be the address of listen (:7788)",
    ]);
    // Told where somebody chose, not at the default.
    expect(faults({ argv: ["--listen", "127.0.0.1:7789"] })).toEqual([
      "--listen: peerListen must not be the address of listen (127.0.0.1:7789)",
    ]);
    expect(
      faults({ file: "listen: 127.0.0.1:80\npeerListen: 127.0.0.2:80\nadminListen: '[::1]:80'" }),
    ).toEqual([]);
    expect(faults({ file: "listen: :0\npeerListen: :0\nadminListen: :0" })).toEqual([]);
  });

  test("a backoff that begins above its end", () => {
    expect(faults({ argv: ["--watch-backoff-max-ms", "10"] })).toEqual([
      "--watch-backoff-max-ms: watch.backoffMinMs must not be above watch.backoffMaxMs (10)",
    ]);
  });

  test("one header for two things", () => {
    expect(faults({ environment: { LYCHGATE_TARGET_HOST_HEADER: "X-Access-Token" } })).toEqual([
      'LYCHGATE_TARGET_HOST_HEADER: auth.accessTokenHeader must not be the header of target.hostHeader ("x-access-token")',
    ]);
  });

  test("a faulty value starts no second complaint", () => {
    expect(faults({ file: "listen: oops\npeerListen: :7788" })).toHaveLength(1);
  });
});

test("every fault of every source is told at once", () => {
  const told = faults({
    argv: ["--nope", "--source", "x"],
    environment: { LYCHGATE_LISTEN: "x", LYCHGATE_NOPE: "x" },
    file: "nope: 1\nlogLevel: loud\n",
  });
  expect(told.map((fault) => fault.split(": ")[0])).toEqual([
    "--nope",
    "LYCHGATE_NOPE",
    "lychgate.yaml:1:1",
    "lychgate.yaml:2:11",
    "LYCHGATE_LISTEN",
    "--source",
  ]);
});
