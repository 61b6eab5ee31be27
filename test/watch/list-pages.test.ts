import { expect, test } from "vitest";
import { ApiFault } from "../../src/watch/fault.ts";
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

/** Lists over what `answer` gives for each request; notes what was asked for. */
async function listing(answer: (limit: number, token: string) => string, maxPageBytes = 10_000) {
  const asked: string[] = [];
  const objects: unknown[] = [];
  let restarts = 0;
  const list = listPages({
    pageSize: 10,
    maxPageBytes,
    onRestart() {
      restarts += 1;
      objects.length = 0;
    },
    onObject: (object) => objects.push(object),
    getPage: async (limit, token) => {
      asked.push(`${limit} ${token}`);
      const text = answer(limit, token);
      return (async function* () {
        yield Buffer.from(text);
      })();
    },
  });
  const outcome = await list.catch((error: unknown) => (error as ApiFault).code);
  return { asked, objects, restarts, outcome };
}

const expired = (): never => {
  throw new ApiFault("expired", "the token is too old");
};

test("a token that expires begins the list again: twice with pages, then at once with all", async () => {
  const { asked, objects, restarts, outcome } = await listing((limit, token) => {
    if (token !== "") return expired();
    return JSON.stringify(limit === 0 ? page("7", "", 1, 2) : page("5", "x", 1));
  });
  expect(asked).toEqual(["10 ", "10 x", "10 ", "10 x", "10 ", "10 x", "0 "]);
  expect([objects, restarts, outcome]).toEqual([[1, 2], 4, "7"]);
});

test("a list whose first page has expired is a fault, and so is one that expires without pages", async () => {
  expect(await listing(expired)).toMatchObject({ outcome: "expired", restarts: 1 });
});

test("a page above the limit begins the list again with half of its length, down to one", async () => {
  const text = (limit: number) => JSON.stringify(page("5", "", "x".repeat(100 * limit)));
  const { asked, outcome } = await listing(text, 300);
  expect([asked, outcome]).toEqual([["10 ", "5 ", "2 "], "5"]);
  const never = await listing((limit) => text(limit + 10), 300);
  expect([never.asked, never.outcome]).toEqual([["10 ", "5 ", "2 ", "1 "], "oversized"]);
});

test("a page of the very limit is read, one of a byte more is not", async () => {
  const text = JSON.stringify(page("5", "", "\u0041"));
  expect((await listing(() => text, text.length)).outcome).toBe("5");
  expect((await listing(() => text, text.length - 1)).outcome).toBe("oversized");
});

test.each([
  ["no JSON", "{"],
  ["an array", "[]"],
  ["no items", JSON.stringify({ metadata: { resourceVersion: "5" } })],
  ["items that are an object", JSON.stringify({ metadata: { resourceVersion: "5" }, items: {} })],
  ["no version", JSON.stringify({ metadata: {}, items: [] })],
  ["version 0", JSON.stringify({ metadata: { resourceVersion: "0" }, items: [] })],
])("%s is no list", async (_, text) => {
  expect(await listing(() => text)).toMatchObject({ outcome: "protocol", restarts: 1 });
});

test("another failure is passed on as it is, and what is none of ours as a bug", async () => {
  const fail = (error: Error) => () => {
    throw error;
  };
  expect((await listing(fail(new ApiFault("forbidden", "no")))).outcome).toBe("forbidden");
  expect((await listing(fail(new Error("a bug")))).outcome).toBe("internal");
});
