import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { applyJsonPatch, applyMergePatch } from "../../../lab/devcluster/patch.ts";

describe("JSON merge patch: the examples of RFC 7396 appendix A", () => {
  it.each([
    [{ a: "b" }, { a: "c" }, { a: "c" }],
    [{ a: "b" }, { b: "c" }, { a: "b", b: "c" }],
    [{ a: "b" }, { a: null }, {}],
    [{ a: "b", b: "c" }, { a: null }, { b: "c" }],
    [{ a: ["b"] }, { a: "c" }, { a: "c" }],
    [{ a: "c" }, { a: ["b"] }, { a: ["b"] }],
    [{ a: { b: "c" } }, { a: { b: "d", c: null } }, { a: { b: "d" } }],
    [{ a: [{ b: "c" }] }, { a: [1] }, { a: [1] }],
    [
      ["a", "b"],
      ["c", "d"],
      ["c", "d"],
    ],
    [{ a: "b" }, ["c"], ["c"]],
    [{ a: "foo" }, null, null],
    [{ a: "foo" }, "bar", "bar"],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: "b", c: null }, { a: "b" }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ])("%j with %j is %j", (target, patch, result) => {
    expect(applyMergePatch(target, patch)).toEqual(result);
  });

  it("makes one object of another, and applied twice does no more than once", () => {
    // Without null: a merge patch can't say it.
    const object = fc.dictionary(fc.string(), fc.oneof(fc.integer(), fc.string(), fc.array(fc.integer())));
    fc.assert(
      fc.property(object, object, (before, after) => {
        const gone = Object.keys(before).filter((key) => !Object.hasOwn(after, key));
        const patch = Object.fromEntries([...Object.entries(after), ...gone.map((key) => [key, null])]);
        const once = applyMergePatch(before, patch);
        expect(once).toEqual(Object.fromEntries(Object.entries(after)));
        expect(applyMergePatch(once, patch)).toEqual(once);
      }),
    );
  });
});

describe("JSON patch: the examples of RFC 6902 appendix A", () => {
  it.each([
    [{ foo: "bar" }, [{ op: "add", path: "/baz", value: "qux" }], { baz: "qux", foo: "bar" }],
    [{ foo: ["a", "c"] }, [{ op: "add", path: "/foo/1", value: "b" }], { foo: ["a", "b", "c"] }],
    [{ foo: ["a"] }, [{ op: "add", path: "/foo/-", value: ["b"] }], { foo: ["a", ["b"]] }],
    [{ foo: ["a", "b"] }, [{ op: "remove", path: "/foo/0" }], { foo: ["b"] }],
    [{ a: 1 }, [{ op: "replace", path: "/a", value: null }], { a: null }],
    [{ a: { b: 1 }, c: {} }, [{ op: "move", from: "/a/b", path: "/c/d" }], { a: {}, c: { d: 1 } }],
    [{ foo: [1, 2, 3] }, [{ op: "move", from: "/foo/0", path: "/foo/2" }], { foo: [2, 3, 1] }],
    [{ "/": 9, "~1": 10 }, [{ op: "test", path: "/~01", value: 10 }], { "/": 9, "~1": 10 }],
    [{ a: 1 }, [{ op: "replace", path: "", value: 7 }], 7],
  ])("%j with %j is %j", (document, patch, result) => {
    expect(applyJsonPatch(document, patch)).toEqual(result);
  });

  it.each([
    [{ foo: "bar" }, [{ op: "add", path: "/baz/bat", value: 1 }]],
    [{ foo: ["a"] }, [{ op: "add", path: "/foo/2", value: 1 }]],
    [{ foo: ["a"] }, [{ op: "remove", path: "/foo/-" }]],
    [{ foo: ["a"] }, [{ op: "replace", path: "/foo/01", value: 1 }]],
    [{ a: { b: {} } }, [{ op: "move", from: "/a", path: "/a/b/c" }]],
    [{}, [{ op: "add", path: "/__proto__/polluted", value: 1 }]],
    [{}, [{ op: "add", path: "/__proto__", value: { polluted: 1 } }]],
    [{}, [{ op: "copy", from: "/toString", path: "/a" }]],
  ])("%j with %j does not fit", (document, patch) => {
    expect(() => applyJsonPatch(document, patch)).toThrow(expect.objectContaining({ code: "Invalid" }));
  });

  it("does not let copies grow a document without bound", () => {
    const copies = Array.from({ length: 40 }, (_, i) => ({ op: "copy", from: "/a", path: `/a/x${i}` }));
    expect(() => applyJsonPatch({ a: { text: "x".repeat(100) } }, copies)).toThrow(
      expect.objectContaining({ code: "RequestEntityTooLarge" }),
    );
  });
});
