import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isObjectName, isOwner, isRoutingId, isState, isUid } from "../../src/routes/names.ts";
import { makeRoute } from "./support/timeline.ts";
import { newTable } from "../support/defaults.ts";

// What no object of Kubernetes can be called is no push of a manager's.

/** Texts that would have to be escaped by whoever shows them. */
const ODD = [
  "ns\n2",
  "c\r\nd",
  "\u001b[2J",
  "a\u202eb",
  "<svg onload=x>",
  "a b",
  "a\u0000",
  "a\u2028b",
  "\u200bx",
  "x\ud800",
];

describe("names of objects", () => {
  test.each([
    ["ns", "sandbox"],
    ["a", "0"],
    ["team-a", "code-7f3c.eu.example"],
    ["0", "a".repeat(253)],
    ["n".repeat(63), `${"b".repeat(64)}.c`],
  ])("%s/%s can be one", (namespace, name) => expect(isObjectName(namespace, name)).toBe(true));

  test.each<[string, string]>([
    ["", "sandbox"],
    ["ns", ""],
    ["Ns", "sandbox"],
    ["ns", "Sandbox"],
    ["n.s", "sandbox"],
    ["n_s", "sandbox"],
    ["-ns", "sandbox"],
    ["ns-", "sandbox"],
    ["ns", ".a"],
    ["ns", "a."],
    ["ns", "a..b"],
    ["ns", "a.-b"],
    ["ns", "a/b"],
    ["n/s", "a"],
    ["n".repeat(64), "sandbox"],
    ["ns", "a".repeat(254)],
    ["ns\n", "a"],
    ["ns", "a\n"],
    ["ns", "é"],
    ...ODD.flatMap((odd): [string, string][] => [
      [odd, "sandbox"],
      ["ns", odd],
    ]),
  ])("%j/%j can't", (namespace, name) => expect(isObjectName(namespace, name)).toBe(false));
});

test("IDs are values of labels, or legacy IDs of any length that these have", () => {
  for (const id of ["short", "Short_X.y", "ns--sandbox", "0", `${"n".repeat(63)}--${"a".repeat(253)}`])
    expect(isRoutingId(id), id).toBe(true);
  for (const id of ["", "-a", "a-", ".a", "a/b", "a:b", "a".repeat(319), ...ODD])
    expect(isRoutingId(id), id).toBe(false);
});

test("UIDs and states are printable words; a state may be missing, a UID not", () => {
  for (const word of ["735ad8c4-0d1e-4d1c-9c6e-5a0f2f9a3b11", "uid", "future-state", "A_b.c:d/e@f+g"]) {
    expect([isUid(word), isState(word)], word).toEqual([true, true]);
  }
  expect([isUid(""), isState("")]).toEqual([false, true]);
  for (const odd of [...ODD, "x".repeat(129), "é", "a>b"])
    expect([isUid(odd), isState(odd)], odd).toEqual([false, false]);
});

test("owners are texts of people: spaces and every script, nothing that does not show as it is", () => {
  for (const owner of [
    "",
    "550e8400-e29b-41d4-a716-446655440000",
    "Ada Lovelace",
    "auth0|abc",
    "李",
    "a".repeat(1_024),
  ])
    expect(isOwner(owner), owner).toBe(true);
  for (const owner of [...ODD.filter((odd) => odd !== "a b"), "a".repeat(1_025)])
    expect(isOwner(owner), owner).toBe(false);
});

test("the table takes an update only when each of its texts can be one, and says which can't", () => {
  const push = (fields: object) =>
    newTable({ scopes: "none" }).pushUpdate({ ...makeRoute("one", 1), ...fields }, 0);
  expect(push({})).toBe("applied");
  for (const odd of ODD) {
    expect(push({ namespace: odd }), odd).toBe("invalid_key");
    expect(push({ name: odd }), odd).toBe("invalid_key");
    expect(push({ id: odd }), odd).toBe("invalid_id");
    expect(push({ uid: odd }), odd).toBe("invalid_uid");
    expect(push({ state: odd }), odd).toBe("invalid_text");
    if (odd !== "a b") expect(push({ owner: odd }), odd).toBe("invalid_text");
    expect(push({ resourceVersion: odd }), odd).toBe("invalid_resource_version");
  }
});

test("a deletion likewise", () => {
  const table = newTable({ scopes: "none" });
  for (const odd of ODD) {
    const push = { namespace: "ns", name: "one", resourceVersion: "1" };
    expect(table.pushDelete({ ...push, namespace: odd }, 0)).toBe("invalid_key");
    expect(table.pushDelete({ ...push, name: odd }, 0)).toBe("invalid_key");
  }
  expect([...table.keys()]).toEqual([]);
});

const word = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({ unit: fc.constantFrom("a", "-", ".", "0", "Z", "_", " ", "<", "\n", "\u202e", "\u001b") }),
);

test("whatever is pushed: a row in the table has only texts that show as what they are", () => {
  // oxlint-disable-next-line no-control-regex -- it is they that must not be there
  const shows = /^[^\p{Cc}\p{Cf}\p{Cs}\u2028\u2029<>]*$/u;
  const field = (proper: string) => fc.option(word, { freq: 3, nil: proper });
  const pushes = fc.record({
    namespace: field("ns"),
    name: field("sandbox"),
    id: field("short"),
    uid: field("uid"),
    state: field("running"),
    owner: field("ada"),
  });
  fc.assert(
    fc.property(fc.array(pushes), (all) => {
      const table = newTable({ scopes: "none" });
      for (const [index, fields] of all.entries()) {
        const route = { ...makeRoute("one", index + 1), ...fields };
        const isKept = table.pushUpdate(route, 0) === "applied";
        const { namespace, name, id, uid, state, owner } = route;
        if (isKept) for (const text of [namespace, name, id, uid, state, owner]) expect(text).toMatch(shows);
      }
      for (const key of table.keys()) expect(key).toMatch(/^[a-z0-9][-a-z0-9]*\/[a-z0-9][-.a-z0-9]*$/);
    }),
  );
});
