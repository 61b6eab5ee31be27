import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type RouteTable } from "../../src/routes/table.ts";
import { makeRoute, observe, rv } from "./support/timeline.ts";
import { newTable } from "../support/defaults.ts";

// Rule 13: what is further ahead of the watermark than hours of the rate at which it moves is not believed.

const T0 = 1_800_000_000_000;
const HOUR_MS = 3_600_000;

function table(maxAheadHours?: number, trust?: "verify") {
  const made = newTable({
    scopes: [""],
    ...(maxAheadHours !== undefined && { maxAheadHours }),
    ...(trust && { trust }),
  });
  made.setLive("", true, T0);
  made.relist("", rv(1_000), [observe(makeRoute("one", 500))], T0);
  return made;
}

const push = (t: RouteTable, version: bigint | string, nowMs = T0) =>
  t.pushUpdate({ ...makeRoute("one", 1, { ip: "10.6.6.6" }), resourceVersion: String(version) }, nowMs);
const pushDelete = (t: RouteTable, version: bigint, nowMs = T0) =>
  t.pushDelete({ namespace: "ns", name: "one", resourceVersion: String(version) }, nowMs);

describe("a quiet cluster: ten million versions are believed", () => {
  for (const trust of [undefined, "verify"] as const) {
    test(`updates and deletions, ${trust ?? "serve"}`, () => {
      const kept = trust ? "unsettled" : "applied";
      expect(push(table(undefined, trust), 1_000n + 10_000_000n)).toBe(kept);
      expect(push(table(undefined, trust), 1_000n + 10_000_001n)).toBe("ignored_implausible");
      expect(pushDelete(table(undefined, trust), 1_000n + 10_000_000n)).toBe(kept);
      expect(pushDelete(table(undefined, trust), 1_000n + 10_000_001n)).toBe("ignored_implausible");
    });
  }

  test("a version of 10^18, or of 300 digits, changes nothing", () => {
    for (const version of [String(10n ** 18n), "9".repeat(300)]) {
      const t = table();
      expect(push(t, version)).toBe("ignored_implausible");
      expect(t.lookup("ns--one")).toMatchObject({ route: { ip: "10.0.0.1" } });
    }
  });
});

test("a busy cluster: as much as the watermark moves in twelve hours, and in the time since it was last heard of", () => {
  const t = table();
  // A thousand versions a second, for two hours.
  for (let ms = 0; ms <= 2 * HOUR_MS; ms += 10_000) t.bookmark("", rv(1_000 + ms), T0 + ms);
  const nowMs = T0 + 2 * HOUR_MS;
  const watermark = BigInt(1_000 + 2 * HOUR_MS);
  const hours = (count: number) => watermark + BigInt(Math.floor(count * HOUR_MS));
  expect(push(t, hours(12.1), nowMs)).toBe("ignored_implausible");
  expect(push(t, hours(11.9), nowMs)).toBe("applied");
  // The informer is cut off for five hours meanwhile.
  expect(push(t, hours(16.9), nowMs + 5 * HOUR_MS)).toBe("applied");
  expect(push(t, hours(17.1), nowMs + 5 * HOUR_MS)).toBe("ignored_implausible");
});

test("before the first list, with the rule off and without an informer any version is believed", () => {
  const unlisted = newTable({ scopes: [""] });
  expect(push(unlisted, 10n ** 18n)).toBe("applied");
  expect(push(table(0), 10n ** 18n)).toBe("applied");
  expect(push(newTable({ scopes: "none" }), 10n ** 18n)).toBe("applied");
});

test("after a restore from a backup the pace is learned anew", () => {
  const t = table();
  for (let ms = 0; ms <= HOUR_MS; ms += 60_000) t.bookmark("", rv(1_000 + 1_000 * ms), T0 + ms);
  t.startOver("", rv(500), [], T0 + HOUR_MS);
  t.bookmark("", rv(1_000 + 1_000 * HOUR_MS + 1), T0 + HOUR_MS);
  expect(push(t, 1_000n + 1_000n * BigInt(HOUR_MS) + 10_000_002n, T0 + HOUR_MS)).toBe("ignored_implausible");
});

test("a true push is never refused, whatever the pace, while the informer lags by less than twelve hours", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 100_000 }), { minLength: 2, maxLength: 30 }),
      fc.integer({ min: 0, max: 11 }),
      (steps, lagHours) => {
        const t = table();
        let version = 1_000;
        let ms = 0;
        for (const step of steps) t.bookmark("", rv((version += step)), T0 + (ms += 120_000));
        const perHour = ((version - 1_000) / ms) * HOUR_MS;
        const ahead = BigInt(version) + BigInt(Math.floor(perHour * lagHours)) + 1n;
        expect(push(t, ahead, T0 + ms)).toBe("applied");
      },
    ),
  );
});
