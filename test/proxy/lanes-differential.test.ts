import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";

import { BROKEN_BODIES, CUT_SHORT, LEGAL, MALFORMED } from "./corpus/requests.ts";
import type { RequestCase } from "./corpus/requests.ts";
import { FAULTY_RESPONSES, RESPONSES } from "./corpus/responses.ts";
import type { ResponseCase } from "./corpus/responses.ts";
import { filledLike, Station } from "./support/station.ts";
import type { Answer, Outcome, Script } from "./support/station.ts";

/*
 * One behaviour: what a pod sees and what a client gets does not depend on the lane. Compared is what messages mean. Left
 * out of the comparison (`station.ts`), for every case:
 *
 * - Where Host and Content-Length stand, the case of their names, and `connection: keep-alive`: undici writes them anew.
 * - `Content-Length: 0` that undici adds to a POST without a body.
 * - Where `Transfer-Encoding` stands, and which of two ways a body is framed in, as long as it is the same body.
 * - `Connection` and `Keep-Alive` to clients, which node:http adds, and where `Date` stands.
 * - Whether the connection to the pod is kept, for requests: undici does not after HEAD, and after a body of a method that
 *   has none by its nature. For responses it is compared.
 * - The words of a `bad_request`: both lanes refuse for the same reason, but not at the same place.
 *
 * What else may differ stands with its reason at the case (`differs`).
 */

const LANES = ["fast", "full"] as const;
type Lane = (typeof LANES)[number];

/** Connections at a time and lane, and cases: many of them wait for a connection to linger. */
const STATIONS = 24;
vi.setConfig({ maxConcurrency: STATIONS, testTimeout: 180_000, hookTimeout: 60_000 });

const idle: Record<Lane, Station[]> = { fast: [], full: [] };
const all: Station[] = [];
const waiting: Record<Lane, ((station: Station) => void)[]> = { fast: [], full: [] };

beforeAll(async () => {
  for (const lane of LANES) {
    for (let i = 0; i < STATIONS; i++) {
      const station = await Station.open(lane);
      idle[lane].push(station);
      all.push(station);
    }
  }
});

afterAll(async () => {
  for (const station of all) await station.close();
});

async function run(lane: Lane, script: Script): Promise<Outcome> {
  const station = idle[lane].pop() ?? (await new Promise<Station>((resolve) => waiting[lane].push(resolve)));
  try {
    return await station.run(script);
  } finally {
    const next = waiting[lane].shift();
    if (next) next(station);
    else idle[lane].push(station);
  }
}

/** `all`: cut everywhere, as the end-to-end run does. Else short messages everywhere, others where it is likely to matter. */
const CUTS = process.env["LYCHGATE_TEST_CUTS"];

/** All the ways in which the text is cut. Long ones not byte by byte. */
function waysToCut(text: string, lane: Lane): number[][] {
  const filled = filledLike(text);
  const { length } = filled;
  const everywhere = Array.from({ length: length - 1 }, (_, i) => i + 1);
  // How llhttp reads bytes is not what is tested here.
  const isFull = lane === "full";
  const most = CUTS === "all" ? 500 : 50;
  const head = filled.indexOf("\r\n\r\n");
  const likely = isFull ? [head + 4] : [length >> 1, head + 3, length - 1];
  const cuts = new Set(length <= most && !isFull ? everywhere : likely);
  const ways = [...cuts].filter((cut) => cut > 0 && cut < length).map((cut) => [cut]);
  if (length <= (CUTS === "all" ? 400 : 180) && !isFull) ways.push(everywhere);
  return ways;
}

/** What is compared of a response. */
function gist(answer: Answer): Answer {
  const isRefused = answer.fields.some(
    ([name, value]) => name === "x-lychgate-reason" && value === "bad_request",
  );
  return isRefused ? { ...answer, body: "" } : answer;
}

type Gist = Pick<Outcome, "seen" | "answers" | "connection" | "reasons" | "unanswered">;

function gistOf(outcome: Outcome): Gist {
  const { seen, answers, connection, reasons, unanswered } = outcome;
  return { seen, answers: answers.map(gist), connection, reasons, unanswered };
}

/** And whether the pod's connection was used again. */
function gistWithConnects(outcome: Outcome): Gist & Pick<Outcome, "connects"> {
  return { ...gistOf(outcome), connects: outcome.connects };
}

/** Holds for every outcome of every case. */
function checkAlways({ podFaults, records, started, connection, answers, seen }: Outcome): void {
  expect(podFaults).toEqual([]);
  expect(records).toBe(started);
  expect(connection).not.toBe("hangs");
  expect(answers.filter(({ status }) => !status.startsWith("1")).length).toBeLessThanOrEqual(started);
  expect(seen.length).toBeLessThanOrEqual(started);
}

function checkRefused({ answers, connection, seen }: Outcome, before: number): void {
  expect(seen.length).toBe(before);
  expect(answers.length).toBe(before + 1);
  expect(answers.at(-1)?.status).toMatch(/^(400|405|431|501|505) /);
  expect(connection).toBe("closed");
}

/** Legal requests before what is wrong. */
function legalBefore({ text, name }: RequestCase): number {
  return name.includes("behind a legal one") || name === "a body longer than its length"
    ? Number(text.length > 0)
    : 0;
}

describe("requests", () => {
  test.concurrent.each(LEGAL)("$name", async (each) => {
    const wholes = await Promise.all(LANES.map((lane) => run(lane, { send: each.text })));
    for (const whole of wholes) {
      checkAlways(whole);
      expect(whole.partial).toBe("");
    }
    const [fast, full] = wholes.map(gistOf);
    if (each.differs === undefined) expect(fast).toEqual(full);
    for (const [i, lane] of LANES.entries()) {
      await Promise.all(
        waysToCut(each.text, lane).map(async (cuts) => {
          const outcome = await run(lane, { send: each.text, cuts });
          checkAlways(outcome);
          if (each.differs === undefined)
            expect(gistOf(outcome), `cut at ${cuts.join()}`).toEqual(gistOf(wholes[i]!));
        }),
      );
    }
  });

  test.concurrent.each(CUT_SHORT)("cut short: $name", async (each) => {
    const script = { send: each.text, cutShort: true };
    const wholes = await Promise.all(LANES.map((lane) => run(lane, script)));
    for (const whole of wholes) {
      checkAlways(whole);
      expect(whole.seen.length).toBe(each.before ?? 0);
    }
    const [fast, full] = wholes.map(gistOf);
    if (each.differs === undefined) expect(fast).toEqual(full);
  });

  test.concurrent.each(MALFORMED)("refused: $name", async (each) => {
    const before = legalBefore(each);
    const [fast, full] = await Promise.all(LANES.map((lane) => run(lane, { send: each.text })));
    checkAlways(fast!);
    checkAlways(full!);
    checkRefused(fast!, before);
    expect(fast!.partial).toBe("");
    if (each.differs === undefined) {
      expect(gistOf(fast!)).toEqual(gistOf(full!));
      expect(full!.partial).toBe("");
    }
    await Promise.all(
      LANES.flatMap((lane) => waysToCut(each.text, lane).map((cuts) => ({ lane, cuts }))).map(
        async ({ lane, cuts }) => {
          const outcome = await run(lane, { send: each.text, cuts });
          checkAlways(outcome);
          if (lane === "full" && each.differs !== undefined) return;
          checkRefused(outcome, before);
          expect(outcome.partial, `cut at ${cuts.join()}`).toBe("");
        },
      ),
    );
  });

  test.concurrent.each(BROKEN_BODIES)("refused within its body: $name", async (each) => {
    const whole = await run("fast", { send: each.text });
    checkAlways(whole);
    checkRefused(whole, 0);
    if (each.differs === undefined) {
      const full = await run("full", { send: each.text });
      checkAlways(full);
      checkRefused(full, 0);
      expect(gistOf(whole)).toEqual(gistOf(full));
    }
    await Promise.all(
      waysToCut(each.text, "fast").map(async (cuts) => {
        const outcome = await run("fast", { send: each.text, cuts });
        checkAlways(outcome);
        checkRefused(outcome, 0);
      }),
    );
  });
});

describe("responses", () => {
  const scriptOf = (
    { request, after = "keep", text }: ResponseCase,
    cuts: readonly number[] = [],
  ): Script => ({
    send: request ?? "GET /r HTTP/1.1\r\nHost: HOST\r\n\r\n",
    reply: { send: text, cuts, after },
  });
  const kept = (outcome: Outcome, { differs }: ResponseCase): object => {
    const { answers, connection, ...rest } = gistWithConnects(outcome);
    const statuses = answers.map(({ status }) => status.slice(0, 3));
    switch (differs?.in) {
      case undefined:
        return { answers, connection, ...rest };
      case "connection":
        return { answers, seen: rest.seen };
      case "connects":
        return { answers, connection, ...rest, connects: 0 };
      case "answers":
        return { statuses: statuses.length };
      case "all":
        return {};
    }
  };

  test.concurrent.each([...RESPONSES, ...FAULTY_RESPONSES])("$name", async (each) => {
    const wholes = await Promise.all(LANES.map((lane) => run(lane, scriptOf(each))));
    for (const whole of wholes) checkAlways(whole);
    const [fast, full] = wholes;
    expect(kept(fast!, each)).toEqual(kept(full!, each));
    for (const [i, lane] of LANES.entries()) {
      await Promise.all(
        waysToCut(each.text, lane).map(async (cuts) => {
          const outcome = await run(lane, scriptOf(each, cuts));
          checkAlways(outcome);
          if (each.differs?.in === "all") return;
          expect(gistWithConnects(outcome), `cut at ${cuts.join()}`).toEqual(gistWithConnects(wholes[i]!));
        }),
      );
    }
  });

  test.concurrent.each([
    ["fast", "1.1"],
    ["full", "1.0"],
  ] as const)(
    "a RST in a body that only the end of the connection ends, %s lane: a RST",
    async (lane, version) => {
      const outcome = await run(lane, {
        send: `GET /r HTTP/${version}\r\nHost: HOST\r\n\r\n`,
        reply: { send: "HTTP/1.1 200 OK\r\nX: 1\r\n\r\nhello", after: "reset" },
      });
      checkAlways(outcome);
      // With a FIN half a file would look whole.
      expect(outcome).toMatchObject({ answers: [], connection: "reset" });
    },
  );

  test.concurrent.each(FAULTY_RESPONSES)("nothing of it is taken for whole: $name", async (each) => {
    const outcome = await run("fast", scriptOf(each));
    const finals = outcome.answers.filter(({ status }) => !status.startsWith("1"));
    if (finals.length > 0) expect(finals[0]?.status).toMatch(/^502 /);
    else expect(outcome.connection).toBe("closed");
  });
});
