import type { UsedConnection } from "../target/pod-address.ts";
import type { RequestRecord } from "./request-record.ts";
import type { TracedRequest } from "./traced-request.ts";

/** Makes spans for requests. Absent unless the user has loaded an SDK that takes them, so that nobody else pays. */
export interface RequestTracing {
  /** Begins the span of a request. Must not throw, like all that follows. */
  begin(request: TracedRequest): RequestSpans;
}

/** What the verdict said, as far as it is known. */
export interface JudgedAs {
  readonly sandbox: string | undefined;
  readonly incarnation: number | undefined;
  /** Why not; absent when the request is forwarded. */
  readonly reason: string | undefined;
}

/** The spans of one request. `ended` is the last call, and may come after any other. */
export interface RequestSpans {
  /** The verdict is about to be found. */
  judging(): void;
  judged(verdict: JudgedAs): void;
  /** The request goes out with these fields (flat): returns them with the context of the upstream's span, which begins here. */
  forwarding(headers: readonly string[]): readonly string[];
  sentOn(connection: UsedConnection): void;
  /** The pod's final response began. */
  firstByte(): void;
  ended(record: RequestRecord): void;
}
