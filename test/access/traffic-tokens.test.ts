import { createHmac, generateKeyPairSync, sign } from "node:crypto";
import fc from "fast-check";
import { createLocalJWKSet, exportJWK, generateKeyPair, type JWK, jwtVerify, SignJWT } from "jose";
import { beforeAll, describe, expect, test } from "vitest";
import { readSignedToken } from "../../src/access/signed-token.ts";
import { TrafficTokens } from "../../src/access/traffic-tokens.ts";
import { readKeySet, type VerificationKeys } from "../../src/access/verification-keys.ts";
import { ManualClock } from "../proxy/support/manual-clock.ts";

// docs/access.md#traffic-tokens. Tokens are made by jose, which is also the oracle of what counts.

const ALGORITHMS = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
] as const;
const ISSUER = "https://issuer.example.com";
const NOW_S = 1_800_000_000;
const RULES = { issuer: ISSUER, skewMs: 60_000 };
const SANDBOX = { sandboxId: "box", sandboxUid: "uid-1" };

interface Pair {
  readonly jwk: JWK;
  readonly privateKey: Parameters<SignJWT["sign"]>[0];
}

const pairs = new Map<string, Pair>();
let keys: VerificationKeys;
let jwks: { readonly keys: JWK[] };

beforeAll(async () => {
  for (const alg of ALGORITHMS) {
    const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
    pairs.set(alg, { jwk: { ...(await exportJWK(publicKey)), kid: alg, alg, use: "sig" }, privateKey });
  }
  jwks = { keys: [...pairs.values()].map(({ jwk }) => jwk) };
  keys = readKeySet(jwks);
});

function pairOf(alg: string): Pair {
  const pair = pairs.get(alg);
  if (pair === undefined) throw new Error(`no key for ${alg}`);
  return pair;
}

interface Changes {
  readonly header?: Readonly<Record<string, unknown>>;
  readonly claims?: Readonly<Record<string, unknown>>;
}

const CLAIMS = { iss: ISSUER, sub: "user", iat: NOW_S, nbf: NOW_S, exp: NOW_S + 600, sandbox: SANDBOX };

/** A token that counts, but for the changes. */
function tokenOf(alg: string, { header, claims }: Changes = {}): Promise<string> {
  const defined = Object.entries({ ...CLAIMS, ...claims }).filter(([, value]) => value !== undefined);
  return new SignJWT(Object.fromEntries(defined))
    .setProtectedHeader({ alg, kid: alg, ...header })
    .sign(pairOf(alg).privateKey);
}

const read = (token: string, nowS = NOW_S) => readSignedToken(token, keys, RULES, nowS * 1000).kind;
const part = (value: object | string) =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

test.each(ALGORITHMS)("a token that is signed with %s counts", async (alg) => {
  const token = await tokenOf(alg);
  expect(readSignedToken(token, keys, RULES, NOW_S * 1000)).toEqual({
    kind: "verified",
    claims: { ...SANDBOX, notBeforeMs: NOW_S * 1000, expiresAtMs: (NOW_S + 600) * 1000 },
  });
});

describe("a forged token is refused", () => {
  const unsigned = (header: object) => `${part(header)}.${part(CLAIMS)}`;

  test("with alg none", () => {
    expect(read(`${unsigned({ alg: "none", kid: "RS256" })}.`)).toBe("invalid");
    expect(read(`${unsigned({ alg: "none", kid: "RS256" })}.AA`)).toBe("invalid");
  });

  test.each(["HS256", "HS384", "HS512"])("with %s and the public key as the secret", async (alg) => {
    const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const set = readKeySet({ keys: [{ ...publicKey.export({ format: "jwk" }), kid: "k" }] });
    const text = unsigned({ alg, kid: "k" });
    const secret = publicKey.export({ format: "pem", type: "spki" });
    const mac = createHmac(`sha${alg.slice(2)}`, secret)
      .update(text)
      .digest("base64url");
    expect(readSignedToken(`${text}.${mac}`, set, RULES, NOW_S * 1000).kind).toBe("invalid");
  });

  test("with a key that the issuer does not have, and with one of its others", async () => {
    const { privateKey } = await generateKeyPair("ES256");
    const foreign = await new SignJWT(CLAIMS)
      .setProtectedHeader({ alg: "ES256", kid: "ES256" })
      .sign(privateKey);
    expect(read(foreign)).toBe("invalid");
    expect(read(await tokenOf("RS256", { header: { kid: "PS256" } }))).toBe("invalid");
    // The curve of another key.
    expect(read(await tokenOf("ES256", { header: { kid: "ES384" } }))).toBe("invalid");
  });

  test("with an algorithm that its key is not for", async () => {
    const [, body, signature] = (await tokenOf("RS256")).split(".");
    expect(read(`${part({ alg: "RS384", kid: "RS256" })}.${body}.${signature}`)).toBe("invalid");
  });

  test.each([
    ["an extension that must be understood", { crit: ["b64"], b64: false }],
    ["an empty list of them", { crit: [] }],
    ["no kid", { kid: undefined }],
    ["a kid that is no text", { kid: 1 }],
  ])("with %s, though it is signed", (_case, header) => {
    const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const set = readKeySet({ keys: [{ ...publicKey.export({ format: "jwk" }), kid: "k" }] });
    const signed = (fields: object) => {
      const text = unsigned({ alg: "RS256", kid: "k", ...fields });
      const token = `${text}.${sign("sha256", Buffer.from(text), privateKey).toString("base64url")}`;
      return readSignedToken(token, set, RULES, NOW_S * 1000).kind;
    };
    expect([signed({}), signed(header)]).toEqual(["verified", "invalid"]);
  });

  test("whichever bit of it is changed", async () => {
    const token = await tokenOf("EdDSA");
    const local = createLocalJWKSet(jwks);
    await fc.assert(
      fc.asyncProperty(
        fc.nat(token.length - 1),
        fc.constantFrom(..."AaZ09_-.= ".split("")),
        async (at, letter) => {
          const changed = token.slice(0, at) + letter + token.slice(at + 1);
          const theirs = await jwtVerify(changed, local, {
            issuer: ISSUER,
            currentDate: new Date(NOW_S * 1000),
          }).then(
            () => "verified",
            () => "refused",
          );
          const ours = read(changed) === "verified" ? "verified" : "refused";
          expect([changed, ours]).toEqual([changed, theirs]);
        },
      ),
      { numRuns: 300 },
    );
  });

  test.each(["", ".", "..", "a.b", "a.b.c", "a.b.c.d", "é.é.é", `${"a".repeat(70_000)}.b.c`])(
    "when it is none: %.20s",
    (text) => {
      expect(read(text)).toBe("invalid");
    },
  );

  test("above 64 KiB, though it is signed", async () => {
    expect(read(await tokenOf("RS256", { claims: { more: "x".repeat(66_000) } }))).toBe("invalid");
  });
});

describe("what a token must say", () => {
  test.each([
    ["iss", { iss: undefined }],
    ["iss of another", { iss: `${ISSUER}/` }],
    ["sub", { sub: undefined }],
    ["an empty sub", { sub: "" }],
    ["exp", { exp: undefined }],
    ["nbf", { nbf: undefined }],
    ["iat", { iat: undefined }],
    ["exp as text", { exp: String(NOW_S + 600) }],
    ["sandbox", { sandbox: undefined }],
    ["sandbox as a list", { sandbox: ["box", "uid-1"] }],
    ["sandboxUid", { sandbox: { sandboxId: "box" } }],
    ["an empty sandboxId", { sandbox: { sandboxId: "", sandboxUid: "uid-1" } }],
  ])("%s is needed, or wrong", async (_case, claims) => {
    expect(read(await tokenOf("ES256", { claims }))).toBe("invalid");
  });

  test("exp, nbf and iat count with a minute's skew, exactly", async () => {
    const token = await tokenOf("ES256");
    const at = (s: number) => readSignedToken(token, keys, RULES, s * 1000).kind;
    expect([at(NOW_S - 60.001), at(NOW_S - 60), at(NOW_S + 659.999), at(NOW_S + 660)]).toEqual([
      "invalid",
      "verified",
      "verified",
      "invalid",
    ]);
    const early = await tokenOf("ES256", { claims: { iat: NOW_S + 61 } });
    expect(read(early)).toBe("invalid");
  });
});

describe("keys that may not verify are left out", () => {
  const kept = (jwk: object) => readKeySet({ keys: [{ ...jwk, kid: "k" }] }).size;

  test.each([
    ["a secret", { kty: "oct", k: "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0" }],
    ["an unknown kind", { kty: "XYZ" }],
    ["a point that lies on no curve", { kty: "EC", crv: "P-256", x: "AA", y: "AA" }],
    [
      "a key to agree on keys with",
      { kty: "OKP", crv: "X25519", x: "3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08" },
    ],
  ])("%s", (_case, jwk) => {
    expect(kept(jwk)).toBe(0);
  });

  test("RSA below 2048 bits, keys for encryption, private keys and keys without a name", () => {
    const weak = generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey.export({ format: "jwk" });
    const { publicKey, privateKey } = generateKeyPairSync("ed25519");
    const good = publicKey.export({ format: "jwk" });
    expect(kept(good)).toBe(1);
    expect(kept(weak)).toBe(0);
    expect(kept({ ...good, use: "enc" })).toBe(0);
    expect(kept({ ...good, key_ops: ["sign"] })).toBe(0);
    expect(kept({ ...good, alg: "ES256" })).toBe(0);
    expect(kept(privateKey.export({ format: "jwk" }))).toBe(0);
    expect(readKeySet({ keys: [good] }).size).toBe(0);
  });

  test("whatever a key set is, it is read", () => {
    fc.assert(fc.property(fc.anything(), (value) => void readKeySet({ keys: [value] })));
    expect([readKeySet(undefined).size, readKeySet([]).size, readKeySet({ keys: {} }).size]).toEqual([
      0, 0, 0,
    ]);
  });
});

describe("tokens that were verified before", () => {
  test("count for their sandbox and its UID only, until they expire or the keys change", async () => {
    const clock = new ManualClock();
    const nowS = Math.floor(clock.nowMs() / 1000);
    const claims = { iat: nowS, nbf: nowS, exp: nowS + 600 };
    const token = await tokenOf("ES256", { claims });
    const source: { keys: VerificationKeys | undefined; keyMissed: () => void; missed: number } = {
      keys: undefined,
      missed: 0,
      keyMissed() {
        this.missed += 1;
      },
    };
    const tokens = new TrafficTokens(source, RULES, clock);
    expect(tokens.check(token, "box", "uid-1")).toBe("not_ready");
    source.keys = keys;
    for (let i = 0; i < 2; i++) {
      expect(tokens.check(token, "box", "uid-1")).toBe("valid");
      expect(tokens.check(token, "box", "uid-2")).toBe("mismatch");
      expect(tokens.check(token, "other", "uid-1")).toBe("mismatch");
    }
    expect(tokens.check("", "box", "uid-1")).toBe("invalid");
    // The issuer withdraws the key: what was verified with it counts no more, and the keys are asked for again.
    source.keys = readKeySet({ keys: [pairOf("RS256").jwk] });
    expect([tokens.check(token, "box", "uid-1"), source.missed]).toEqual(["invalid", 1]);
    source.keys = keys;
    expect(tokens.check(token, "box", "uid-1")).toBe("valid");
    clock.stall(659_000);
    expect(tokens.check(token, "box", "uid-1")).toBe("valid");
    clock.stall(2_000);
    expect(tokens.check(token, "box", "uid-1")).toBe("invalid");
  });
});
