import { createHmac } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  claimOf,
  NONCE_HEADER,
  SIGNATURE_HEADER,
  signatureOf,
  signedHeaders,
  TIME_HEADER,
} from "../../../src/peers/proof/hmac.ts";
import { HmacVerifier, type HmacVerifierOptions } from "../../../src/peers/proof/hmac-verifier.ts";
import { NonceMemory } from "../../../src/peers/proof/nonce-memory.ts";
import { ManualClock } from "../../proxy/support/manual-clock.ts";

const KEY = "k".repeat(32);
const OTHER_KEY = "o".repeat(32);
const WINDOW_MS = 30_000;
const body = Buffer.from('{"id":"x"}');
const request = { method: "POST", target: "/refresh", body };

function verifier(options: Partial<HmacVerifierOptions> = {}) {
  const clock = new ManualClock();
  clock.stall(1_700_000_000_000);
  const verify = new HmacVerifier({ keys: () => [KEY], windowMs: WINDOW_MS, clock, ...options });
  const sign = (changes: { key?: string; inMs?: number } = {}) =>
    signedHeaders(changes.key ?? KEY, request, clock.nowMs() + (changes.inMs ?? 0));
  const judge = (headers: Record<string, string>, changes: Partial<typeof request> = {}) => {
    const claim = claimOf(headers);
    return claim.kind === "claim" ? verify.verify(claim, { ...request, ...changes }) : claim.kind;
  };
  return { clock, sign, judge };
}

describe("what is signed", () => {
  test("is the purpose, method, target, time, nonce and body, a line feed after each but the last", () => {
    const nonce = "0123456789abcdef";
    const text = `lychgate-push-v1\nPOST\n/refresh\n1700000000\n${nonce}\n{"id":"x"}`;
    const expected = createHmac("sha256", KEY).update(text).digest("hex");
    const head = { method: "POST", target: "/refresh", time: "1700000000", nonce };
    expect(signatureOf(KEY, head, body).toString("hex")).toBe(expected);
  });

  test("a signature is right for this request and for no other", () => {
    const { sign, judge } = verifier();
    const headers = sign();
    for (const changes of [{ method: "PUT" }, { target: "/refresh?x" }, { body: Buffer.from('{"id":"y"}') }])
      expect(judge(headers, changes)).toBe("wrong");
    expect(judge({ ...headers, [NONCE_HEADER]: "another-nonce-of-16" })).toBe("wrong");
    const time = String(Number(headers[TIME_HEADER]) + 1);
    expect(judge({ ...headers, [TIME_HEADER]: time })).toBe("wrong");
    expect(judge(headers)).toBe("proven");
  });

  test("no field can lend its bytes to the next", () => {
    fc.assert(
      fc.property(
        fc.record({ target: fc.string(), nonce: fc.stringMatching(/^[\w-]{16,64}$/), body: fc.uint8Array() }),
        fc.record({ target: fc.string(), nonce: fc.stringMatching(/^[\w-]{16,64}$/), body: fc.uint8Array() }),
        (one, other) => {
          // A request target has no control characters: node:http refuses them.
          fc.pre(![one, other].some(({ target }) => /[\n\r]/.test(target)));
          fc.pre(JSON.stringify(one) !== JSON.stringify(other));
          const sign = ({ target, nonce, body }: typeof one) =>
            signatureOf(KEY, { method: "POST", target, nonce, time: "1" }, body).toString("hex");
          expect(sign(one)).not.toBe(sign(other));
        },
      ),
    );
  });
});

describe("header fields", () => {
  const good = () => verifier().sign();

  test("none of them: absent; some of them, another form or twice: malformed", () => {
    expect(claimOf({})).toEqual({ kind: "absent" });
    for (const name of [TIME_HEADER, NONCE_HEADER, SIGNATURE_HEADER]) {
      const { [name]: value = "", ...rest } = good();
      expect(claimOf(rest).kind).toBe("malformed");
      for (const wrong of [
        "",
        " ",
        `${value}, ${value}`,
        `${value}\u00e9`,
        "-1",
        "1e9",
        "f".repeat(65),
        value.slice(1, 5) + "=",
      ])
        expect([wrong, claimOf({ ...rest, [name]: wrong }).kind]).toEqual([wrong, "malformed"]);
    }
    expect(claimOf({ ...good(), [SIGNATURE_HEADER]: "A".repeat(64) }).kind).toBe("malformed");
  });

  test("whatever they hold, reading them does not throw, and proves nothing", () => {
    const { judge } = verifier();
    const value = fc.option(fc.oneof(fc.string(), fc.constantFrom("1700000000", "a".repeat(64))), {
      nil: undefined,
    });
    fc.assert(
      fc.property(value, value, value, (time, nonce, signature) => {
        const headers = { [TIME_HEADER]: time, [NONCE_HEADER]: nonce, [SIGNATURE_HEADER]: signature };
        expect(judge(headers as Record<string, string>)).not.toBe("proven");
      }),
    );
  });
});

describe("time and replay", () => {
  test.each([
    [-WINDOW_MS - 1_000, "out_of_time"],
    [-WINDOW_MS + 1_000, "proven"],
    [WINDOW_MS - 1_000, "proven"],
    [WINDOW_MS + 2_000, "out_of_time"],
  ])("signed %i ms from now: %s", (inMs, verdict) => {
    const { sign, judge } = verifier();
    expect(judge(sign({ inMs }))).toBe(verdict);
  });

  test("a signature is taken once, for as long as its time is good", () => {
    const { clock, sign, judge } = verifier();
    const headers = sign({ inMs: WINDOW_MS - 1_000 });
    expect(judge(headers)).toBe("proven");
    for (let ms = 0; ms < 2 * WINDOW_MS; ms += 5_000) {
      expect(judge(headers)).toMatch(/^(replayed|out_of_time)$/);
      clock.stall(5_000);
    }
    expect(judge(headers)).toBe("out_of_time");
  });

  test("a wrong signature does not use up the nonce of a right one", () => {
    const { sign, judge } = verifier();
    const headers = sign();
    expect(judge({ ...headers, [SIGNATURE_HEADER]: "0".repeat(64) })).toBe("wrong");
    expect(judge(headers)).toBe("proven");
  });

  test("a full memory takes nothing more, rather than forget", () => {
    const { clock, sign, judge } = verifier({ maxNonces: 2 });
    const first = sign();
    expect([judge(first), judge(sign()), judge(sign()), judge(first)]).toEqual([
      "proven",
      "proven",
      "overloaded",
      "replayed",
    ]);
    clock.stall(2 * WINDOW_MS + 1_000);
    expect(judge(sign())).toBe("proven");
  });

  test("nonces are remembered for their time and no longer", () => {
    const memory = new NonceMemory({ forMs: 100, max: 10 });
    expect([memory.use("a", 0), memory.use("a", 99), memory.use("a", 100)]).toEqual([
      "fresh",
      "replayed",
      "fresh",
    ]);
    for (let ms = 101; ms < 1_000; ms++) memory.use(String(ms), ms);
    expect(memory.size).toBeLessThanOrEqual(10);
  });
});

test("either of two keys is taken, a third is not, and no key proves nothing", () => {
  let keys = [KEY, OTHER_KEY];
  const { sign, judge } = verifier({ keys: () => keys });
  expect([judge(sign()), judge(sign({ key: OTHER_KEY })), judge(sign({ key: "3".repeat(32) }))]).toEqual([
    "proven",
    "proven",
    "wrong",
  ]);
  keys = [OTHER_KEY];
  expect(judge(sign())).toBe("wrong");
  keys = [];
  expect(judge(sign({ key: OTHER_KEY }))).toBe("wrong");
  expect(judge(sign({ key: "" }))).toBe("wrong");
});
