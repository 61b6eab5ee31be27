import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, test } from "vitest";

// docs/architecture.md#floors: who may know whom. A part imports itself, `routes`, and the words that all share; only the
// composition roots know more than one part. There are no cycles.

const src = resolve(import.meta.dirname, "../src");
const SHARED = [
  "bounded-connections.ts",
  "clock.ts",
  "listener.ts",
  "log.ts",
  "paced-log.ts",
  "process-signals.ts",
  "version.ts",
];
const PARTS = ["watch", "peers", "proxy", "metrics", "admin", "devcluster", "workers", "load", "host"];
const ROOTS = [
  "app.ts",
  "serve.ts",
  "demo.ts",
  "load.ts",
  "load-embedded.ts",
  "load-given.ts",
  "host-overlap.ts",
  "host-static-routes.ts",
  "host-link.ts",
  "host-anycast.ts",
  "access-log-file.ts",
  "router-logs.ts",
  "traffic.ts",
  "worker-traffic.ts",
  "worker.ts",
];

interface File {
  readonly path: string;
  readonly part: string;
  readonly imports: readonly string[];
  readonly dynamicImports: readonly string[];
  readonly packages: readonly string[];
}

const files: File[] = readdirSync(src, { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .map((path) => {
    const text = readFileSync(join(src, path), "utf8");
    const found = (pattern: RegExp) => [...text.matchAll(pattern)].map(([, specifier = ""]) => specifier);
    const resolved = (specifier: string) => relative(src, resolve(src, dirname(path), specifier));
    const statics = found(/^(?:import|export)\s[^"';]*?from\s+"([^"]+)"/gms).concat(
      found(/^import\s+"([^"]+)"/gm),
    );
    const dynamics = found(/\bimport\(\s*"([^"]+)"\s*\)/g);
    return {
      path,
      part: path.includes("/") ? (path.split("/")[0] ?? "") : path,
      imports: statics.filter((specifier) => specifier.startsWith(".")).map(resolved),
      dynamicImports: dynamics.filter((specifier) => specifier.startsWith(".")).map(resolved),
      packages: [...statics, ...dynamics].filter((specifier) => !specifier.startsWith(".")),
    };
  });

const partOf = (path: string) => (path.includes("/") ? (path.split("/")[0] ?? "") : path);

test("the walk sees the source", () => {
  expect(files.length).toBeGreaterThan(60);
  expect(files.flatMap(({ imports }) => imports).length).toBeGreaterThan(200);
});

describe("imports run one way", () => {
  for (const part of PARTS) {
    test(`${part} knows itself, routes and the shared words`, () => {
      const allowed = new Set([part, "routes", ...SHARED]);
      const strangers = files
        .filter((file) => file.part === part)
        .flatMap(({ path, imports, dynamicImports }) =>
          [...imports, ...dynamicImports]
            .filter((to) => !allowed.has(partOf(to)))
            .map((to) => `${path} → ${to}`),
        );
      expect(strangers).toEqual([]);
    });
  }

  test("memberlist is a room of its own: it knows the shared words and a budget of bytes, and no sandbox", () => {
    const known = (to: string) =>
      to.startsWith("peers/memberlist/") || to === "peers/bounded-body.ts" || SHARED.includes(to);
    const strangers = files
      .filter(({ path }) => path.startsWith("peers/memberlist/"))
      .flatMap(({ path, imports, packages }) =>
        imports
          .filter((to) => !known(to))
          .concat(packages.filter((name) => !name.startsWith("node:")))
          .map((to) => `${path} → ${to}`),
      );
    expect(strangers).toEqual([]);
  });

  test("memberlist decides without a clock, timers or randomness of its own", () => {
    // Sockets, keys and the start are where the world comes in.
    const outside = /^peers\/memberlist\/(keyring|memberlist|sockets|start)\.ts$/;
    for (const { path } of files.filter(({ path }) => path.startsWith("peers/memberlist/"))) {
      const text = readFileSync(join(src, path), "utf8");
      expect(text, path).not.toMatch(/Date\.now|performance\.|(?<!\.)\bset(Timeout|Interval)\(|Math\.random/);
      if (!outside.test(path))
        expect(text, path).not.toMatch(/systemClock|node:(crypto|dgram|fs|dns)|createServer|connect\(/);
    }
  });

  test("routes knows nothing: no part, no package, and of Node only what is pure", () => {
    const pure = new Set(["node:net"]); // isIP and SocketAddress open nothing
    const seen = files
      .filter((file) => file.part === "routes")
      .flatMap(({ path, imports, dynamicImports, packages }) => {
        const files = [...imports, ...dynamicImports].filter(
          (to) => partOf(to) !== "routes" && to !== "clock.ts",
        );
        return files.concat(packages.filter((name) => !pure.has(name))).map((to) => `${path} → ${to}`);
      });
    expect(seen).toEqual([]);
    const routes = files.filter((file) => file.part === "routes");
    const texts = routes.map(({ path }) => readFileSync(join(src, path), "utf8")).join("\n");
    expect(texts).not.toMatch(/Date\.now|performance\.|setTimeout\(|Math\.random|systemClock/);
    expect(texts.match(/.*from "node:net"/g)).toEqual(
      texts.match(/import \{ isIP(, SocketAddress)? \} from "node:net"/g),
    );
  });

  test("config and cli know no part; parts and config know neither cli nor the composition roots", () => {
    const allowed = new Map([
      ["config", new Set(["config"])],
      ["cli", new Set(["cli", "config", "admin", ...ROOTS])],
    ]);
    for (const { path, part, imports, dynamicImports } of files) {
      const may = allowed.get(part);
      for (const to of [...imports, ...dynamicImports]) {
        if (may) expect(may.has(partOf(to)) || SHARED.includes(to), `${path} → ${to}`).toBe(true);
        else if (!ROOTS.includes(path) && path !== "cli.ts" && part !== "cli")
          expect(ROOTS, `${path} → ${to}`).not.toContain(to);
      }
    }
  });
});

test("the command line reads the admin API's types, never its code", () => {
  for (const { path } of files.filter((file) => file.part === "cli")) {
    for (const line of readFileSync(join(src, path), "utf8").split("\n")) {
      if (line.includes('"../admin/'))
        expect(line, path).toMatch(/^import type .*"\.\.\/admin\/api-types\.ts"/);
    }
  }
});

test("the Kubernetes client is imported late, and only by watch: it costs 80 MB", () => {
  for (const { path } of files) {
    const text = readFileSync(join(src, path), "utf8");
    for (const line of text.split("\n").filter((line) => line.includes("@kubernetes/client-node"))) {
      if (/^\s*(\/\/|\*|\/\*)/.test(line)) continue;
      expect(path).toMatch(/^watch\//);
      expect(line).toMatch(/^import type|await import\(/);
    }
  }
});

test("no cycles", () => {
  const graph = new Map(files.map(({ path, imports }) => [path, imports]));
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    expect(trail, [...trail, path].join(" → ")).not.toContain(path);
    if (done.has(path)) return;
    for (const next of graph.get(path) ?? []) visit(next, [...trail, path]);
    done.add(path);
  };
  for (const { path } of files) visit(path, []);
});

test("no file is called utils or helpers, and none binds to Node's insides", () => {
  for (const { path } of files) {
    // docs/architecture.md#undocumented-node allows one, behind a flag.
    const isException = path === "proxy/shared-read-buffer.ts";
    expect(path).not.toMatch(/(utils?|helpers?|common|misc)\.ts$/);
    const text = readFileSync(join(src, path), "utf8");
    if (!isException) expect(text, path).not.toMatch(/process\.binding|\b_handle\b/);
  }
});
