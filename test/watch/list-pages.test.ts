import { expect, test } from "vitest";
import { listPages } from "../../src/watch/list-pages.ts";

/** Lists over made-up pages, whatever is asked for. */
async function listOf(...pages: readonly unknown[]) {
  const left = [...pages];
  const objects: unknown[] = [];
  const version = await listPages({
    pageSize: 10,
    maxPageBytes: 10_000,
    onRestart: () => objects.splice(0),
    onObject: (object) => objects.push(object),
    getPage: async () =>
      (async function* () {
        yield Buffer.from(JSON.stringify(left.shift()));
      })(),
  });
  return { version, objects };
}

function page(resourceVersion: string, token: string, ...items: readonly unknown[]): unknown {
  return { metadata: { resourceVersion, continue: token }, items };
}

test("should pages differ in version, the list is as old as its oldest page", async () => {
  expect(await listOf(page("100", "x", 1), page("99", "y", 2), page("101", "", 3))).toEqual({
    version: "99",
    objects: [1, 2, 3],
  });
});

test("an empty list may have null for its items, as Go writes it", async () => {
  expect(await listOf({ metadata: { resourceVersion: "5" }, items: null })).toEqual({
    version: "5",
    objects: [],
  });
});

test("a server that sends the same continue token again is not followed for ever", async () => {
  const pages = [page("5", "x"), page("5", "x"), page("5", "")];
  await expect(listOf(...pages)).rejects.toMatchObject({ code: "protocol" });
});

test("long and short pages, cut anywhere, are read as they were sent", async () => {
  const texts = [700_000, 3, 300_000, 40].map((length, at) => `${at}`.repeat(length) + "ü€😀");
  const pages = texts.map((text, at) =>
    Buffer.from(JSON.stringify(page("5", at === 3 ? "" : `t${at}`, text))),
  );
  const objects: unknown[] = [];
  await listPages({
    pageSize: 10,
    maxPageBytes: 1_000_000,
    onRestart: () => {},
    onObject: (object) => objects.push(object),
    getPage: async () =>
      (async function* () {
        const body = pages.shift() ?? Buffer.alloc(0);
        const piece = Math.max(1, Math.floor(body.length / 97));
        for (let at = 0; at < body.length; at += piece) yield body.subarray(at, at + piece);
      })(),
  });
  expect(objects).toEqual(texts);
});
