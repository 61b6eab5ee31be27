import { describe, expect, test } from "vitest";
import type { Answer, Outcome } from "../../../lab/load/answer.ts";
import { Hearing } from "../../../lab/load/hearing.ts";
import { LifeBook } from "../../../lab/load/life-book.ts";
import { judge, type Judgement } from "../../../lab/load/oracle.ts";
import type { LifeState } from "../../../lab/load/sandbox-life.ts";

// Times are milliseconds; the router must have heard what happened 1,000 before.

function makeBook(): { book: LifeBook; tell: (uid: string, state: LifeState, atMs: number) => void } {
  const book = new LifeBook((id) => `3000-${id}.example.com`);
  const tell = (uid: string, state: LifeState, atMs: number): void =>
    book.tell(
      { uid, id: `id-${uid}`, namespace: "ns", name: uid, state, podUid: `pod-${uid}`, isTarget: true },
      atMs,
    );
  return { book, tell };
}

const from = (name: string, more: { podUid?: string; namespace?: string } = {}): Outcome => ({
  kind: "pod",
  status: 200,
  speaker: { namespace: "ns", name, ...more },
});
const router = (reason: string, status = 502): Outcome => ({ kind: "router", status, reason });

/** Judges an answer to a request for `a` that was on its way from 10,000 to 10,010. */
function judged(
  outcome: Outcome,
  history: readonly (readonly [LifeState, number])[],
  hearing = new Hearing(1_000),
): Judgement {
  const { book, tell } = makeBook();
  for (const [state, atMs] of history) {
    if (state === "ended") book.ended("a", atMs);
    else tell("a", state, atMs);
  }
  tell("b", "running", 0);
  const answer: Answer = { target: 0, sentMs: 10_000, answeredMs: 10_010, outcome };
  return judge(answer, book.target(0), hearing, (podUid) => book.ownerOf(podUid));
}

describe("a pod's answer", () => {
  test("of the sandbox that was asked for is right, also while it is being paused", () => {
    expect(judged(from("a"), [["running", 0]])).toEqual({ kind: "right" });
    expect(
      judged(from("a"), [
        ["running", 0],
        ["paused", 9_900],
      ]),
    ).toEqual({ kind: "right" });
  });

  test("of another sandbox is a misroute, whatever the one that was asked for is doing", () => {
    for (const state of ["running", "paused", "changing", "ended"] as const) {
      const judgement = judged(from("b", { podUid: "pod-b" }), [
        ["running", 0],
        [state, 9_999],
      ]);
      expect(judgement).toEqual({ kind: "misroute", detail: "id-a (ns/a) was answered by ns/b (pod pod-b)" });
    }
  });

  test("of a sandbox of the same name in another namespace is a misroute", () => {
    expect(judged(from("a", { namespace: "other" }), [["running", 0]]).kind).toBe("misroute");
  });

  test("that has the right name and another's pod UID is a misroute", () => {
    expect(judged(from("a", { podUid: "pod-b" }), [["running", 0]]).kind).toBe("misroute");
  });

  test("that gives no more than a pod UID is judged by whose pod that is", () => {
    const uidOnly = (podUid: string): Outcome => ({ kind: "pod", status: 200, speaker: { podUid } });
    expect(judged(uidOnly("pod-a"), [["running", 0]]).kind).toBe("right");
    expect(judged(uidOnly("pod-b"), [["running", 0]]).kind).toBe("misroute");
    expect(judged(uidOnly("pod-nobody-knows"), [["running", 0]]).kind).toBe("unidentified");
    expect(judged({ kind: "pod", status: 200, speaker: {} }, [["running", 0]]).kind).toBe("unidentified");
  });

  test("for a sandbox that was gone before the request was sent comes after the end", () => {
    expect(
      judged(from("a"), [
        ["running", 0],
        ["ended", 10_005],
      ]).kind,
    ).toBe("right");
    expect(
      judged(from("a"), [
        ["running", 0],
        ["ended", 9_990],
      ]),
    ).toEqual({
      kind: "after-end",
      detail: "id-a (ns/a) was answered by ns/a, asked 10.0 ms after its end",
    });
  });

  test("of a pod that had died before comes after the end, although the sandbox runs again", () => {
    const { book, tell } = makeBook();
    tell("a", "running", 0);
    book.podDied("pod-a", 9_000);
    const answer: Answer = {
      target: 0,
      sentMs: 10_000,
      answeredMs: 10_010,
      outcome: from("a", { podUid: "pod-a" }),
    };
    expect(judge(answer, book.target(0), new Hearing(1_000), (uid) => book.ownerOf(uid)).kind).toBe(
      "after-end",
    );
  });

  test("with another status is unexpected, and one to another request a misroute", () => {
    const outcome: Outcome = { kind: "pod", status: 500, speaker: { namespace: "ns", name: "a" } };
    expect(judged(outcome, [["running", 0]])).toMatchObject({
      kind: "unexpected",
      label: "500 from a pod",
    });
    expect(judged({ kind: "foreign", said: "…" }, [["running", 0]]).kind).toBe("misroute");
  });
});

describe("a refusal", () => {
  test("is expected while the sandbox changes or has only just begun to run", () => {
    expect(judged(router("sandbox_creating"), [["changing", 0]]).kind).toBe("expected");
    expect(
      judged(router("sandbox_not_found"), [
        ["changing", 0],
        ["running", 9_500],
      ]).kind,
    ).toBe("expected");
    expect(
      judged(router("upstream_refused"), [
        ["running", 0],
        ["changing", 10_005],
      ]).kind,
    ).toBe("expected");
    expect(
      judged(router("incarnation_ended"), [
        ["running", 0],
        ["paused", 9_999],
      ]).kind,
    ).toBe("expected");
  });

  test("is unexpected of a sandbox that has run for longer than the router needs to hear", () => {
    expect(judged(router("sandbox_paused"), [["running", 8_900]])).toEqual({
      kind: "unexpected",
      label: "502 sandbox_paused",
      detail: "id-a (ns/a) (running for 1.1 s) got 502 sandbox_paused",
    });
  });

  test("other than 502, or for no reason of the sandbox's, is always unexpected", () => {
    const changing = [["changing", 9_999]] as const;
    expect(judged(router("overloaded", 503), changing).kind).toBe("unexpected");
    expect(judged(router("no_sandbox", 404), changing).kind).toBe("unexpected");
    expect(judged(router("upstream_protocol"), changing).kind).toBe("unexpected");
    expect(judged({ kind: "timeout" }, changing).kind).toBe("unexpected");
  });

  test("that shows a living route of a sandbox that ended long ago is a revived route", () => {
    for (const reason of ["upstream_refused", "pod_ip_reassigned", "incarnation_ended", "sandbox_paused"]) {
      expect(
        judged(router(reason), [
          ["running", 0],
          ["ended", 5_000],
        ]).kind,
        reason,
      ).toBe("revived");
    }
    for (const reason of ["sandbox_not_found", "sandbox_dead"]) {
      expect(
        judged(router(reason), [
          ["running", 0],
          ["ended", 5_000],
        ]).kind,
        reason,
      ).toBe("expected");
    }
    // It may not have heard yet.
    expect(
      judged(router("upstream_refused"), [
        ["running", 0],
        ["ended", 9_500],
      ]).kind,
    ).toBe("expected");
  });

  test("of a sandbox that has been paused for long must say so", () => {
    expect(judged(router("sandbox_paused"), [["paused", 0]]).kind).toBe("expected");
    expect(judged(router("upstream_refused"), [["paused", 0]]).kind).toBe("revived");
  });

  test("a broken connection is expected only while the sandbox changes or ends", () => {
    const cut: Outcome = { kind: "cut", code: "ECONNRESET" };
    expect(judged(cut, [["running", 0]])).toMatchObject({
      kind: "unexpected",
      label: "connection: ECONNRESET",
    });
    expect(
      judged(cut, [
        ["running", 0],
        ["changing", 10_005],
      ]).kind,
    ).toBe("expected");
  });

  test("nothing is sure around the time at which a sandbox ends by itself", () => {
    const { book } = makeBook();
    book.tell(
      {
        uid: "a",
        id: "a",
        namespace: "ns",
        name: "a",
        state: "running",
        isTarget: true,
        shutdownAtMs: 10_005,
      },
      0,
    );
    const answer: Answer = { target: 0, sentMs: 10_000, answeredMs: 10_010, outcome: router("sandbox_dead") };
    expect(judge(answer, book.target(0), new Hearing(1_000), () => undefined).kind).toBe("expected");
  });
});

describe("what the router must have heard", () => {
  test("is what happened before the slack, and the informer's lag", () => {
    const hearing = new Hearing(1_000);
    expect(hearing.heardUntil(5_000)).toBe(4_000);
    hearing.lags(6_000, 500);
    expect(hearing.heardUntil(5_900)).toBe(4_900);
    expect(hearing.heardUntil(6_000)).toBe(4_500);
    hearing.lags(8_000, 0);
    // What was said late before may still be on its way.
    expect(hearing.heardUntil(8_500)).toBe(7_000);
    expect(hearing.heardUntil(9_001)).toBe(8_001);
  });

  test("stands still while the API is away, and for the slack after that", () => {
    const hearing = new Hearing(1_000);
    hearing.lags(1_000, 500);
    hearing.deaf(10_000);
    expect(hearing.heardUntil(10_000)).toBe(8_500);
    expect(hearing.heardUntil(60_000)).toBe(8_500);
    hearing.lags(61_000, 0);
    expect(hearing.heardUntil(61_900)).toBe(8_500);
    expect(hearing.heardUntil(62_001)).toBe(61_001);
  });

  test("so a refusal of a sandbox that began to run during an outage is expected, however long ago", () => {
    const hearing = new Hearing(1_000);
    hearing.deaf(2_000);
    expect(judged(router("sandbox_not_found"), [["running", 3_000]], hearing).kind).toBe("expected");
    expect(judged(router("sandbox_not_found"), [["running", 500]], hearing).kind).toBe("unexpected");
  });
});
