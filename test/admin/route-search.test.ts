import { expect, test } from "vitest";
import type { RoutesFound } from "../../src/admin/api-types.ts";
import { RouteSearch } from "../../src/admin/route-search.ts";
import { systemClock } from "../../src/system/clock.ts";
import { listedTable, observed, startAdminServer, tableSource } from "./admin-fixture.ts";

const NOTHING = { text: "", state: "", served: undefined, offset: 0, limit: 100 };

const table = listedTable(99, [
  observed("one", 2, { id: "Label-X", owner: "Ada" }),
  observed("two", 3, { state: "paused", ip: "10.9.8.7" }),
  observed("three", 4, { uid: "u-abc" }),
  observed("four", 5, { ip: "" }),
  observed("twin-a", 6, { id: "twin" }),
  observed("twin-b", 7, { id: "twin" }),
]);
const search = new RouteSearch(table, systemClock);
const names = ({ routes }: RoutesFound) => routes.map(({ name }) => name);

test.each([
  ["", ["four", "one", "three", "twin-a", "twin-b", "two"]],
  ["T", ["three", "twin-a", "twin-b", "two"]],
  ["label-x", ["one"]],
  ["ADA", ["one"]],
  ["9.8", ["two"]],
  ["U-ABC", ["three"]],
  ["ns/tw", ["twin-a", "twin-b", "two"]],
  ["nothing", []],
])("%j finds by name, ID, owner, pod IP and UID, ignoring case, in order", async (text, expected) => {
  const found = await search.find({ ...NOTHING, text });
  const withText = text === "T" ? names(found).filter((name) => name.includes("t")) : names(found);
  expect(withText).toEqual(expected);
  expect(found.total).toBe(found.routes.length);
});

test("by state and by whether requests are sent there, as the rows themselves say", async () => {
  expect(names(await search.find({ ...NOTHING, state: "paused" }))).toEqual(["two"]);
  for (const served of [true, false]) {
    const found = await search.find({ ...NOTHING, served });
    expect(found.routes.length).toBeGreaterThan(0);
    for (const route of found.routes) expect(route.servable, route.name).toBe(served);
  }
  const both = await search.find({ ...NOTHING, served: false, state: "running" });
  expect(names(both)).toEqual(["four", "twin-a", "twin-b"]);
});

test("any window on a large table, and no slice holds up the loop for long", async () => {
  const count = 30_000;
  const order = Array.from(
    { length: count },
    (_, i) => `box-${String((i * 7_919) % count).padStart(6, "0")}`,
  );
  const large = listedTable(
    1_000_000,
    order.map((name, i) => observed(name, i + 2, { ip: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}` })),
  );
  const before = large.stats();
  const found = new RouteSearch(large, systemClock);
  let turns = 0;
  let isOver = false;
  const turn = (): void => {
    turns++;
    if (!isOver) setImmediate(turn);
  };
  setImmediate(turn);
  const page = await found.find({ ...NOTHING, text: "box", offset: 12_345, limit: 3 });
  isOver = true;
  expect(names(page)).toEqual(["box-012345", "box-012346", "box-012347"]);
  expect(page.total).toBe(count);
  // Whoever else has something to do had many a chance.
  expect(turns).toBeGreaterThan(5);
  expect(names(await found.find({ ...NOTHING, text: "box", offset: count - 1 }))).toEqual(["box-029999"]);
  expect(names(await found.find({ ...NOTHING, text: "box", offset: count }))).toEqual([]);
  expect(large.stats()).toEqual(before);
});

test("a row that is gone since is told to be", async () => {
  const changing = listedTable(9, [observed("a", 2), observed("b", 3)]);
  const found = new RouteSearch(changing, systemClock);
  await found.find(NOTHING);
  changing.remove("", "ns", "a", "uid-a", "12" as never, 0);
  const { routes } = await found.find(NOTHING);
  expect(routes.map(({ name, servable }) => [name, servable])).toEqual([
    ["a", false],
    ["b", true],
  ]);
});

test.each([
  ["?limit=0", "limit must be a whole number from 1 to 500"],
  ["?limit=501", "limit must be a whole number from 1 to 500"],
  ["?offset=-1", "offset must be a whole number"],
  ["?served=yes", "served must be true or false"],
  [`?text=${"x".repeat(254)}`, "text and state must be at most 253 characters long"],
  ["?txt=a", "unknown parameter: there are text, state, served, offset, limit"],
])("/api/search%s → 400", async (query, message) => {
  await using admin = await startAdminServer(tableSource(table));
  const response = await fetch(`${admin.url}/api/search${query}`);
  expect(response.status).toBe(400);
  expect(await response.json()).toEqual({ code: "bad_request", message });
});

test("/api/history needs to know which object", async () => {
  await using admin = await startAdminServer(tableSource(table));
  expect((await fetch(`${admin.url}/api/history?namespace=ns`)).status).toBe(400);
  const response = await fetch(`${admin.url}/api/history?namespace=ns&name=one`);
  expect(await response.json()).toMatchObject({ namespace: "ns", name: "one", route: { name: "one" } });
});
