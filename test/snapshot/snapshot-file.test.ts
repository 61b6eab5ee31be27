import { chmod, mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ObjectFacts, ScopeSnapshot } from "../../src/routes/object-facts.ts";
import { objectKey } from "../../src/routes/route.ts";
import { SnapshotFault } from "../../src/snapshot/snapshot-fault.ts";
import { readSnapshot, SnapshotDraft } from "../../src/snapshot/snapshot-file.ts";
import { endLine, headLine, objectLine, type SnapshotSource } from "../../src/snapshot/snapshot-format.ts";
import { makeRoute, rv } from "../routes/support/timeline.ts";
import { SOURCE, snapshotPath } from "./support.ts";

const SCOPES: readonly ScopeSnapshot[] = [{ name: "", watermark: rv(50), barredUntil: undefined }];
const TOKEN = "s3cr3t-token";

function running(name: string, version = 40): ObjectFacts {
  const route = makeRoute(name, version, { accessToken: TOKEN, podUid: `${name}-pod` });
  return {
    namespace: "ns",
    name,
    confirmed: { uid: route.uid, resourceVersion: route.resourceVersion, route },
    hold: { after: rv(version - 1), by: rv(version) },
    hint: undefined,
    tombstone: undefined,
    read: undefined,
    doubt: undefined,
  };
}

async function write(path: string, objects: readonly ObjectFacts[], scopes = SCOPES): Promise<void> {
  const draft = await SnapshotDraft.create(path);
  await draft.write(headLine(SOURCE));
  for (const facts of objects) await draft.write(objectLine(objectKey(facts.namespace, facts.name), facts));
  await draft.write(endLine(1_000, scopes, objects.length + 2));
  await draft.publish();
}

async function faultOf(path: string, source: SnapshotSource = SOURCE): Promise<string> {
  const error: unknown = await readSnapshot(path, source).catch((reason: unknown) => reason);
  if (!(error instanceof SnapshotFault)) return "read";
  expect(error.message).not.toContain(TOKEN);
  return error.code;
}

describe("a snapshot file", () => {
  test("has the objects of every CRD", async () => {
    const path = await snapshotPath();
    const facts = { ...running("a"), namespace: "agents.x-k8s.io:ns" };
    await write(path, [facts]);
    const read = await readSnapshot(path, SOURCE);
    expect(Array.from(read?.snapshot.objects ?? [], ({ namespace, name }) => `${namespace}/${name}`)).toEqual(
      ["agents.x-k8s.io:ns/a"],
    );
  });

  test("is read as it was written, whatever a route holds", async () => {
    const text = fc.string({ unit: "grapheme", maxLength: 30 });
    const version = fc.integer({ min: 1 }).map(rv);
    const route = fc.record({
      id: text,
      uid: text,
      owner: text,
      ip: fc.constantFrom("", "10.0.0.1", "fd00::1"),
      state: text,
      resourceVersion: version,
      accessToken: text,
      requireTrafficAuth: fc.boolean(),
      shutdownAtMs: fc.option(fc.nat(), { nil: undefined }),
      podUid: fc.option(text, { nil: undefined }),
      access: fc.constantFrom(undefined, "open", "private", "80,8080"),
      previewEpoch: fc.option(fc.string(), { nil: undefined }),
      wake: fc.constantFrom(undefined, "asleep" as const, "resuming" as const),
    });
    const optional = <T>(of: fc.Arbitrary<T>) => fc.option(of, { nil: undefined });
    const facts = fc
      .record({
        confirmed: optional(fc.record({ isRouted: fc.boolean(), route })),
        hold: optional(fc.record({ after: version, by: version })),
        hint: optional(fc.record({ from: text, route })),
        tombstone: optional(fc.record({ from: text, version })),
        read: optional(version),
        doubt: optional(fc.record({ ids: fc.array(text), ips: fc.array(text), isPartlyKept: fc.boolean() })),
      })
      .filter(({ confirmed, hint, tombstone, read, doubt }) =>
        Boolean(confirmed ?? hint ?? tombstone ?? read ?? doubt),
      )
      .map(({ confirmed, hold, hint, tombstone, read, doubt }): ObjectFacts => {
        const key = { namespace: "ns", name: "one" };
        return {
          namespace: "ns",
          name: "one",
          confirmed: confirmed && {
            uid: confirmed.route.uid,
            resourceVersion: confirmed.route.resourceVersion,
            route: confirmed.isRouted ? { ...key, ...confirmed.route } : undefined,
          },
          hold,
          hint: hint && { from: hint.from, route: { ...key, ...hint.route }, trusted: true, isRelayed: true },
          tombstone: tombstone && {
            from: tombstone.from,
            version: tombstone.version,
            trusted: true,
            isRelayed: true,
          },
          read,
          doubt,
        };
      });
    const path = await snapshotPath();
    await fc.assert(
      fc.asyncProperty(facts, async (one) => {
        await write(path, [one]);
        const read = await readSnapshot(path, SOURCE);
        expect(read?.snapshot).toEqual({ takenAtMs: 1_000, scopes: SCOPES, objects: [one] });
      }),
      { numRuns: 200 },
    );
  });

  test("is its owner's alone, and takes the old one's place as a whole", async () => {
    const path = await snapshotPath();
    await writeFile(path, "old", { mode: 0o644 });
    await write(path, [running("a")]);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(dirname(path))).toEqual(["routes.snapshot"]);
    expect((await readSnapshot(path, SOURCE))?.isExposed).toBe(false);
    await chmod(path, 0o640);
    expect((await readSnapshot(path, SOURCE))?.isExposed).toBe(true);
  });

  test("stays as it was when a new one is given up", async () => {
    const path = await snapshotPath();
    await write(path, [running("a")]);
    const draft = await SnapshotDraft.create(path);
    await draft.write("half");
    expect((await readSnapshot(path, SOURCE))?.snapshot.objects).toHaveLength(1);
    await draft.discard();
    expect(await readdir(dirname(path))).toEqual(["routes.snapshot"]);
  });

  test("does not follow a link that stands where its draft goes", async () => {
    const path = await snapshotPath();
    const victim = join(dirname(path), "victim");
    await writeFile(victim, "precious");
    await symlink(victim, join(dirname(path), ".routes.snapshot.draft"));
    await write(path, [running("a")]);
    expect(await readFile(victim, "utf8")).toBe("precious");
  });

  test("a later line of an object replaces an earlier one, or takes it out", async () => {
    const path = await snapshotPath();
    const gone: ObjectFacts = { ...running("a"), confirmed: undefined };
    await write(path, [running("a"), running("b"), gone, running("b", 45)]);
    const objects = [...((await readSnapshot(path, SOURCE))?.snapshot.objects ?? [])];
    expect(objects.map(({ name, confirmed }) => [name, confirmed?.resourceVersion])).toEqual([["b", "45"]]);
  });

  test("that is not there is none, which is no fault", async () => {
    expect(await readSnapshot(await snapshotPath(), SOURCE)).toBeUndefined();
  });

  test("is refused with any byte cut off, and with any byte changed", async () => {
    const path = await snapshotPath();
    await write(path, [running("a"), running("b")]);
    const whole = await readFile(path);
    for (let length = 0; length < whole.length; length++) {
      await writeFile(path, whole.subarray(0, length));
      expect(await faultOf(path), `cut at ${length}`).toBe("damaged");
    }
    for (let at = 0; at < whole.length; at++) {
      const changed = Buffer.from(whole);
      changed[at] = (changed[at] ?? 0) ^ 1;
      await writeFile(path, changed);
      expect(await faultOf(path), `changed at ${at}`).not.toBe("read");
    }
    await writeFile(path, Buffer.concat([whole, Buffer.from("{}\n")]));
    expect(await faultOf(path)).toBe("damaged");
  });

  test("is refused in a format that this version does not know", async () => {
    const path = await snapshotPath();
    await writeFile(path, '{"lychgate":"snapshot","format":2,"more":1}\nwhatever\n');
    expect(await faultOf(path)).toBe("unknown_format");
  });

  test("is refused when it was made of another cluster, selector or set of namespaces", async () => {
    const path = await snapshotPath();
    await write(path, [running("a")]);
    expect(await faultOf(path, { ...SOURCE, server: "https://10.96.0.2" })).toBe("foreign");
    expect(await faultOf(path, { ...SOURCE, selector: "tier=gold" })).toBe("foreign");
    expect(await faultOf(path, { ...SOURCE, scopes: ["ns"] })).toBe("foreign");
    expect(await faultOf(path, { ...SOURCE, scopes: ["", "ns"] })).toBe("foreign");
  });

  test("is refused when it is no file, or one line without an end", async () => {
    const path = await snapshotPath();
    await mkdir(path);
    expect(await faultOf(path)).toBe("unreadable");
    const long = `${path}.long`;
    await writeFile(long, "x".repeat(3 << 20));
    expect(await faultOf(long)).toBe("damaged");
  });
});
