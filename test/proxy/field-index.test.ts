import fc from "fast-check";
import { expect, test } from "vitest";

import {
  REQUEST_FIELDS,
  REQUEST_PREFIXES,
  requestRule,
  TOLD_BY_PROXIES,
} from "../../src/proxy/forwarding/field-rules.ts";
import { NOTE, requestFields } from "../../src/proxy/forwarding/request-fields.ts";
import type { FieldEntry } from "../../src/proxy/http1/field-index.ts";
import { FRAMING, slotOf } from "../../src/proxy/http1/field-index.ts";
import { capturedHeads } from "../../lab/bench/heads/heads.ts";
import { newTargetParser } from "../support/defaults.ts";
import { latin1 } from "./corpus/arbitraries.ts";

const PARSER = newTargetParser({});
const routing = [...PARSER.fields].filter((name) => name !== "host");
const framingNames = Object.keys(FRAMING).filter((name) => name !== "none");
const NAMES = [...new Set([...REQUEST_FIELDS, ...TOLD_BY_PROXIES, ...routing, ...framingNames])];

function indexOf(trustForwarded: boolean) {
  return requestFields({ routing: PARSER.fields, trustForwarded, viaPseudonym: "lychgate-0123" }).index;
}

/** As a scan looks a name up. */
function lookUp(index: ReturnType<typeof indexOf>, name: string): FieldEntry | undefined {
  const bytes = latin1(`xx${name}:`);
  const first = bytes[2] ?? 0;
  const slot = slotOf(name.length, first, bytes[1 + name.length] ?? 0);
  if (index.taken[slot] === 0 && name.length < (index.prefixLengths[first & 31] ?? 0)) return undefined;
  return index.find(bytes, 2, name.length, slot);
}

/** What a scan does with a field of that name, by the rules for ordered fields. */
function expectedOf(name: string, trustForwarded: boolean): object {
  const lower = name.toLowerCase();
  if (framingNames.includes(lower)) return { framing: FRAMING[lower as keyof typeof FRAMING] };
  const at = routing.indexOf(lower);
  if (at >= 0) return { note: NOTE.routing + at };
  switch (requestRule(lower)) {
    case undefined:
      return {};
    case "hop_by_hop":
    case "lookalike":
      return { cut: true };
    case "te":
      return { cut: true, note: NOTE.te };
    case "request_id":
      return { note: NOTE.requestId };
    case "forwarded_for":
      return trustForwarded ? { cut: true, note: NOTE.forwardedFor } : { cut: true };
    case "forwarded_prefix":
      return trustForwarded ? { cut: true, note: NOTE.forwardedPrefix } : { cut: true };
    case "forwarded": {
      if (!trustForwarded) return { cut: true };
      const notes: Record<string, number> = {
        "x-forwarded-host": NOTE.forwardedHost,
        "x-forwarded-proto": NOTE.forwardedProto,
        "x-forwarded-port": NOTE.forwardedPort,
      };
      return lower in notes ? { note: notes[lower] } : {};
    }
    case "max_forwards":
      return { special: true };
    case "host":
    case "essential":
      return {};
  }
}

function doneWith(entry: FieldEntry | undefined): object {
  if (entry === undefined) return {};
  if (entry.framing !== FRAMING.none) return { framing: entry.framing };
  const { special, cut, note } = entry;
  return {
    ...(special ? { special } : {}),
    ...(cut ? { cut } : {}),
    ...(note < 0 ? {} : { note }),
  };
}

const known = fc.constantFrom(
  ...NAMES,
  ...REQUEST_PREFIXES,
  ...REQUEST_PREFIXES.map((prefix) => `${prefix}more`),
);
const octet = fc.constantFrom(..."abcxyzABCXYZ019-_^~`|.!".split(""));
/** The name with some letters in upper case. */
const inAnyCase = (name: string) =>
  fc
    .array(fc.boolean(), { minLength: name.length, maxLength: name.length })
    .map((upper) => Array.from(name, (char, i) => (upper[i] ? char.toUpperCase() : char)).join(""));
/** Names that share length, first and last octet with one that has a rule, or nearly. */
const near = known.chain((name) =>
  fc.oneof(
    inAnyCase(name),
    fc
      .tuple(fc.nat(name.length - 1), octet)
      .map(([at, char]) => name.slice(0, at) + char + name.slice(at + 1)),
    fc
      .array(octet, { minLength: name.length, maxLength: name.length })
      .map((inner) => `${name[0]}${inner.slice(1, -1).join("")}${name.length > 1 ? name.at(-1) : ""}`),
    fc
      .array(fc.boolean(), { minLength: name.length, maxLength: name.length })
      .map((swap) => Array.from(name, (char, i) => (char === "-" && swap[i] ? "_" : char)).join(""))
      .chain(inAnyCase),
    octet.map((char) => name + char),
    fc.constant(name.slice(0, -1) || "a"),
  ),
);

test.each([false, true])(
  "each name, in any case, has the rule of its ordered field and no other has (trustForwarded: %s)",
  (trustForwarded) => {
    const index = indexOf(trustForwarded);
    for (const name of NAMES) {
      for (const spelt of [name, name.toUpperCase()]) {
        expect([spelt, doneWith(lookUp(index, spelt))]).toEqual([spelt, expectedOf(spelt, trustForwarded)]);
      }
    }
    fc.assert(
      fc.property(near, (name) => {
        expect(doneWith(lookUp(index, name))).toEqual(expectedOf(name, trustForwarded));
      }),
      { numRuns: 5_000 },
    );
  },
);

test("of the names that real programs send and that need nothing, hardly any is looked at twice", () => {
  const index = indexOf(false);
  const slotFor = (name: string) => slotOf(name.length, name.charCodeAt(0), name.charCodeAt(name.length - 1));
  const sent = capturedHeads().flatMap(({ fields }) => fields.map((field) => field.split(":", 1)[0] ?? ""));
  const needless = new Set(
    sent.map((name) => name.toLowerCase()).filter((name) => lookUp(index, name) === undefined),
  );
  expect(needless.size).toBeGreaterThan(25);
  const twice = [...needless].filter((name) => index.taken[slotFor(name)] === 1);
  expect(twice.length).toBeLessThan(needless.size / 10);
  const perSlot = Map.groupBy(NAMES, slotFor);
  expect(Math.max(...[...perSlot.values()].map((names) => names.length))).toBeLessThanOrEqual(2);
});
