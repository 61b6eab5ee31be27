import { type CapturedHead, capturedHeads, requestHead } from "./heads/heads.ts";
import { requestPath } from "./load-plan.ts";
import type { LoadPlan } from "./load-plan.ts";
import { bodyOf, type Sandbox, sandboxes } from "./sandboxes.ts";

/** What a request to one host is, and what must come back. */
export interface Exchange {
  /** The head, with the body behind it when that is small. */
  readonly request: string;
  /** A larger body, to be sent behind `request`. */
  readonly body: Buffer | undefined;
  /** Body of the response. */
  readonly response: Buffer;
}

/** What decides the requests of a plan. */
export type RequestPlan = Pick<
  LoadPlan,
  "heads" | "responseSizes" | "responseBytes" | "requestBytes" | "hosts" | "clientCloses" | "podsClose"
>;

/** Bodies up to this size are sent in one write with their head. */
const INLINE_BODY_BYTES = 16_384;

/** Each host with each head and each size once. Neighbours in the list differ in all of them. */
export function exchanges(plan: RequestPlan, podPort: number): Exchange[] {
  const heads = headsOf(plan);
  const sizes = plan.responseSizes ?? [plan.responseBytes];
  const targets = sandboxes(plan.hosts, podPort);
  const bodies = new Map<string, Buffer>();
  const body = (index: number, bytes: number): Buffer => {
    const key = `${index} ${bytes}`;
    let known = bodies.get(key);
    if (known === undefined) bodies.set(key, (known = bodyOf(index, bytes)));
    return known;
  };
  return pairs(heads.length, sizes.length).flatMap(([headAt, sizeAt]) =>
    targets.map((sandbox) => {
      const head = at(heads, headAt + sandbox.index);
      return exchangeOf(plan, sandbox, podPort, head, at(sizes, sizeAt + sandbox.index), body);
    }),
  );
}

/** Each pair of a number below `first` and one below `second`, in an order in which both change at each step. */
function pairs(first: number, second: number): [number, number][] {
  const block = (first * second) / greatestCommonDivisor(first, second);
  return Array.from({ length: first * second }, (_, turn) => [
    turn % first,
    // After a block the same pairs would come again: the next one is shifted by one.
    (turn + Math.floor(turn / block)) % second,
  ]);
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

function headsOf({
  heads,
  clientCloses,
  requestBytes,
}: RequestPlan): Pick<CapturedHead, "fields" | "hostAt">[] {
  const corpus = capturedHeads();
  if (heads !== undefined) return corpus.filter(({ name }) => heads.includes(name));
  const fields = ["User-Agent: lychgate-bench", "Accept: */*"];
  if (requestBytes > 0) fields.push("Content-Type: application/octet-stream");
  return [{ hostAt: 0, fields: clientCloses ? [...fields, "Connection: close"] : fields }];
}

function exchangeOf(
  plan: RequestPlan,
  { index, id, host }: Sandbox,
  podPort: number,
  { fields, hostAt }: Pick<CapturedHead, "fields" | "hostAt">,
  responseBytes: number,
  bodyFor: (index: number, bytes: number) => Buffer,
): Exchange {
  // Programs that name the sandbox in a field as well must name this one: Lychgate goes by the field.
  const named = fields.map((field) =>
    field.replace(/^(e2b-sandbox-id: ).*/i, `$1${id}`).replace(/^(e2b-sandbox-port: ).*/i, `$1${podPort}`),
  );
  const path = requestPath({ responseBytes, podsClose: plan.podsClose });
  const head = requestHead({ fields: named, hostAt }, path, host, plan.requestBytes);
  const response = bodyFor(index, responseBytes);
  const body = plan.requestBytes > 0 ? bodyFor(index, plan.requestBytes) : undefined;
  if (body !== undefined && body.length <= INLINE_BODY_BYTES) {
    return { request: head + body.toString("latin1"), body: undefined, response };
  }
  return { request: head, body, response };
}

function at<T>(list: readonly T[], turn: number): T {
  const item = list[turn % list.length];
  if (item === undefined) throw new Error("no head of that name in the corpus");
  return item;
}
