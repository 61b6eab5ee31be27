import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, test } from "vitest";

// docs/architecture.md#floors: who may know whom. Every file stands in one room, and a room knows only itself and rooms on
// lower floors. Rooms of one floor do not know each other.

const root = resolve(import.meta.dirname, "..");

/** A room: a name, and the files in it. The first room that matches a path has it. */
type Room = readonly [name: string, files: RegExp];

/** From the ground up. */
const FLOORS: readonly (readonly Room[])[] = [
  [
    ["system", /^src\/system\/[\w-]+\.ts$/],
    ["proxy/transport", /^src\/proxy\/transport\/[\w-]+\.ts$/],
    ["proxy/http1", /^src\/proxy\/http1\/[\w-]+\.ts$/],
    ["lab/charts", /^lab\/charts\/[\w-]+\.ts$/],
  ],
  [
    ["routes", /^src\/routes\/[\w-]+\.ts$/],
    ["proxy/target", /^src\/proxy\/target\/[\w-]+\.ts$/],
    ["proxy/reply", /^src\/proxy\/reply\/[\w-]+\.ts$/],
    ["proxy/client", /^src\/proxy\/client\/[\w-]+\.ts$/],
    ["peers/memberlist", /^src\/peers\/memberlist\/[\w-]+\.ts$/],
    ["peers/wire", /^src\/peers\/wire\/[\w-]+\.ts$/],
    ["peers/proof", /^src\/peers\/proof\/[\w-]+\.ts$/],
  ],
  [
    ["config", /^src\/config\/[\w-]+\.ts$/],
    ["watch", /^src\/watch\/[\w-]+\.ts$/],
    ["peers", /^src\/peers\/[\w-]+\.ts$/],
    ["peers/anti-entropy", /^src\/peers\/anti-entropy\/[\w-]+\.ts$/],
    ["peers/discovery", /^src\/peers\/discovery\/[\w-]+\.ts$/],
    ["access", /^src\/access\/[\w-]+\.ts$/],
    ["wake", /^src\/wake\/[\w-]+\.ts$/],
    ["snapshot", /^src\/snapshot\/[\w-]+\.ts$/],
    ["workers", /^src\/workers\/[\w-]+\.ts$/],
    ["admin", /^src\/admin\/[\w-]+\.ts$/],
    ["node", /^src\/node\/(?:(?!command\.ts)[\w-]+\/)*(?!command\.ts)[\w-]+\.ts$/],
    ["proxy/forwarding", /^src\/proxy\/forwarding\/[\w-]+\.ts$/],
    ["proxy/tls", /^src\/proxy\/tls\/[\w-]+\.ts$/],
    ["proxy/record", /^src\/proxy\/record\/[\w-]+\.ts$/],
    ["lab/devcluster", /^lab\/devcluster\/[\w-]+\.ts$/],
  ],
  [
    ["metrics", /^src\/metrics\/[\w-]+\.ts$/],
    ["history", /^src\/history\/[\w-]+\.ts$/],
    ["proxy/limits", /^src\/proxy\/limits\/[\w-]+\.ts$/],
    ["proxy/upstream", /^src\/proxy\/upstream\/[\w-]+\.ts$/],
    ["lab/load", /^lab\/load\/[\w-]+\.ts$/],
  ],
  [["proxy/passage", /^src\/proxy\/passage\/[\w-]+\.ts$/]],
  [
    ["proxy/fast", /^src\/proxy\/fast\/[\w-]+\.ts$/],
    ["proxy/full", /^src\/proxy\/full\/[\w-]+\.ts$/],
  ],
  // On the fast lane's connections to pods, and the full lane's tunnels.
  [["proxy/h2", /^src\/proxy\/h2\/[\w-]+\.ts$/]],
  [["proxy", /^src\/proxy\/[\w-]+\.ts$/]],
  // The composition roots of the node tools, and of what `lychgate serve` runs.
  [["node commands", /^src\/node\/[\w-]+\/command\.ts$/]],
  [["router", /^src\/router\/[\w-]+\.ts$/]],
  [
    ["lab/demo", /^lab\/demo\/[\w-]+\.ts$/],
    ["lab/bench", /^lab\/bench\/(?:(?:proxies|heads|soak|wrk)\/)?[\w-]+\.ts$/],
  ],
  [["cli", /^src\/cli\/[\w-]+\.ts$/]],
  [["entry", /^src\/cli\.ts$/]],
];

interface File {
  readonly path: string;
  readonly text: string;
  readonly imports: readonly string[];
  readonly dynamicImports: readonly string[];
  readonly packages: readonly string[];
}

const sources = (folder: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts"))
    .map((path) => join(folder, path));

const files: File[] = [...sources("src"), ...sources("lab")].map((path) => {
  const text = readFileSync(join(root, path), "utf8");
  const found = (pattern: RegExp) => [...text.matchAll(pattern)].map(([, specifier = ""]) => specifier);
  const resolved = (specifier: string) => relative(root, resolve(root, dirname(path), specifier));
  const statics = found(/^(?:import|export)\s[^"';]*?from\s+"([^"]+)"/gms).concat(
    found(/^import\s+"([^"]+)"/gm),
  );
  const dynamics = found(/\bimport\(\s*"([^"]+)"\s*\)/g);
  return {
    path,
    text,
    imports: statics.filter((specifier) => specifier.startsWith(".")).map(resolved),
    dynamicImports: dynamics.filter((specifier) => specifier.startsWith(".")).map(resolved),
    packages: [...statics, ...dynamics].filter((specifier) => !specifier.startsWith(".")),
  };
});

/** The floor and the room of a path; `undefined` for one that stands nowhere. */
function placeOf(path: string): { readonly floor: number; readonly room: string } | undefined {
  for (const [floor, rooms] of FLOORS.entries()) {
    const room = rooms.find(([, pattern]) => pattern.test(path));
    if (room) return { floor, room: room[0] };
  }
  return undefined;
}

/** What is wrong with an import of `to` by `from`, if anything is. */
function faultOf(from: string, to: string): string | undefined {
  const here = placeOf(from);
  const there = placeOf(to);
  if (!here || !there) return `${here ? to : from} stands in no room`;
  if (here.room === there.room || there.floor < here.floor) return undefined;
  return `${here.room} (${from}) → ${there.room} (${to})`;
}

test("the walk sees the source", () => {
  expect(files.length).toBeGreaterThan(300);
  expect(files.flatMap(({ imports }) => imports).length).toBeGreaterThan(1_000);
});

test("every file has a room, and no room is empty", () => {
  expect(files.filter(({ path }) => !placeOf(path)).map(({ path }) => path)).toEqual([]);
  const inhabited = new Set(files.map(({ path }) => placeOf(path)?.room));
  expect(FLOORS.flat().filter(([name]) => !inhabited.has(name))).toEqual([]);
});

test("no import points up, or to a neighbour", () => {
  const faults = files.flatMap(({ path, imports, dynamicImports }) =>
    [...imports, ...dynamicImports].flatMap((to) => faultOf(path, to) ?? []),
  );
  expect(faults).toEqual([]);
});

describe("the test can fail", () => {
  test("an import up, one of a neighbour, and a file that stands in no room", () => {
    expect(faultOf("src/system/version.ts", "src/watch/backoff.ts")).toMatch(/^system .* → watch /);
    expect(faultOf("src/router/open-files.ts", "src/cli/main.ts")).toMatch(/^router .* → cli /);
    expect(faultOf("src/proxy/server.ts", "src/watch/informer.ts")).toBeUndefined();
    expect(faultOf("src/watch/informer.ts", "src/peers/push-sink.ts")).toMatch(/^watch .* → peers /);
    expect(faultOf("src/loose.ts", "src/system/clock.ts")).toBe("src/loose.ts stands in no room");
  });
});

// Some rooms may know less than all that lies below them.
const KNOWS_ONLY: Readonly<Record<string, readonly string[]>> = {
  config: ["system", "proxy/target"],
  routes: ["system"],
  "peers/memberlist": ["system"],
  "peers/proof": ["system"],
  "peers/wire": ["system", "proxy/http1"],
  "peers/anti-entropy": ["system", "routes"],
  "peers/discovery": ["system", "peers/memberlist"],
  watch: ["system", "routes"],
  peers: ["system", "routes", "peers/proof", "peers/wire"],
  snapshot: ["system", "routes"],
  workers: ["system", "routes"],
  // The closed lists of words that are label values.
  metrics: [
    "system",
    "routes",
    "watch",
    "peers",
    "peers/anti-entropy",
    "peers/memberlist",
    "peers/proof",
    "proxy/reply",
    "proxy/tls",
    "snapshot",
    "wake",
  ],
  wake: ["system", "routes"],
  access: ["system", "routes"],
  admin: ["system", "routes"],
  node: ["system", "routes"],
  history: ["system", "routes", "admin"],
  "lab/devcluster": ["system", "routes"],
};
const PROXY_KNOWS = /^(proxy(\/.*)?|system|routes)$/;

describe("a room knows no more than it needs", () => {
  for (const [room, allowed] of Object.entries(KNOWS_ONLY)) {
    test(`${room} knows itself, ${allowed.join(", ") || "and nothing else"}`, () => {
      const strangers = files
        .filter(({ path }) => placeOf(path)?.room === room)
        .flatMap(({ path, imports, dynamicImports }) =>
          [...imports, ...dynamicImports]
            .filter((to) => {
              const there = placeOf(to)?.room ?? "";
              return there !== room && !allowed.includes(there);
            })
            .map((to) => `${path} → ${to}`),
        );
      expect(strangers).toEqual([]);
    });
  }

  test("proxy sees the table's read side: no watch, no peers, no metrics", () => {
    const strangers = files
      .filter(({ path }) => path.startsWith("src/proxy/"))
      .flatMap(({ path, imports, dynamicImports }) =>
        [...imports, ...dynamicImports]
          .filter((to) => !PROXY_KNOWS.test(placeOf(to)?.room ?? ""))
          .map((to) => `${path} → ${to}`),
      );
    expect(strangers).toEqual([]);
  });

  test("src knows the laboratory in two commands only, which import it late: the image has none of it", () => {
    const known = files.flatMap(({ path, imports, dynamicImports }) =>
      path.startsWith("lab/")
        ? []
        : [
            ...imports.filter((to) => to.startsWith("lab/")).map((to) => `${path} → ${to}`),
            ...dynamicImports.filter((to) => to.startsWith("lab/")).map((to) => `${path} ⇢ ${to}`),
          ],
    );
    expect(known.toSorted()).toEqual([
      "src/cli/demo.ts → lab/demo/demo.ts",
      "src/cli/demo.ts ⇢ lab/demo/demo.ts",
      "src/cli/load.ts → lab/load/run-load.ts",
      "src/cli/load.ts ⇢ lab/load/run-load.ts",
    ]);
    for (const path of ["src/cli/demo.ts", "src/cli/load.ts"]) {
      const text = files.find((file) => file.path === path)?.text ?? "";
      // The other one is of types, and gone when it runs.
      expect(text.match(/^import (?!type\b).*lab\//gm), path).toBeNull();
    }
  });

  test("what src imports are production dependencies, and those are what src imports", () => {
    const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      readonly dependencies: Readonly<Record<string, string>>;
    };
    const nameOf = (specifier: string) =>
      specifier
        .split("/")
        .slice(0, specifier.startsWith("@") ? 2 : 1)
        .join("/");
    const used = new Set(
      files
        .filter(({ path }) => path.startsWith("src/"))
        .flatMap(({ packages }) => packages)
        .filter((specifier) => !specifier.startsWith("node:"))
        .map(nameOf),
    );
    expect([...used].toSorted()).toEqual(Object.keys(manifest.dependencies).toSorted());
  });
});

test("routes is pure: no package, no clock, no chance, and of Node only what opens nothing", () => {
  const routes = files.filter(({ path }) => placeOf(path)?.room === "routes");
  // isIP and SocketAddress open nothing.
  expect(routes.flatMap(({ packages }) => packages).filter((name) => name !== "node:net")).toEqual([]);
  const texts = routes.map(({ text }) => text).join("\n");
  expect(texts).not.toMatch(/Date\.now|performance\.|setTimeout\(|Math\.random|systemClock/);
  expect(texts.match(/.*from "node:net"/g)).toEqual(
    texts.match(/import \{ isIP(, SocketAddress)? \} from "node:net"/g),
  );
});

test("the command line reads the admin API's types, never its code", () => {
  for (const { path, text } of files.filter(({ path }) => path.startsWith("src/cli/"))) {
    for (const line of text.split("\n")) {
      if (line.includes('"../admin/'))
        expect(line, path).toMatch(/^import type .*"\.\.\/admin\/(api|status)-types\.ts"/);
    }
  }
});

test("of the Kubernetes client only the reader of kubeconfigs is imported at once, by watch: the whole costs 80 MB", () => {
  for (const { path, text } of files) {
    for (const line of text.split("\n").filter((line) => line.includes("@kubernetes/client-node"))) {
      if (/^\s*(\/\/|\*|\/\*)/.test(line)) continue;
      expect(path).toMatch(/^src\/watch\//);
      expect(line).toMatch(/^import type|await import\(|dist\/config_types\.js"/);
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
  for (const { path, text } of files.filter(({ path }) => path.startsWith("src/"))) {
    // docs/architecture.md#undocumented-node allows one, behind a setting.
    const isException = path === "src/proxy/transport/undocumented-node.ts";
    expect(path).not.toMatch(/(utils?|helpers?|common|misc)\.ts$/);
    if (!isException) expect(text, path).not.toMatch(/process\.binding|\b_handle\b/);
  }
});
