/** What a client's fields say of the form in which it wants a reply. */
export interface ReplyWishes {
  /** `Accept`, several joined by `,`. */
  readonly accept?: string | undefined;
  /** `Content-Type`. `application/grpc*` gets `grpc-status`. */
  readonly contentType?: string | undefined;
  /** `Sec-Fetch-Mode` (Fetch Metadata Request Headers, W3C): which kind of fetch a browser does. */
  readonly fetchMode?: string | undefined;
}

/** The form of a reply of our own. gRPC's has the content type to answer with. */
export type ReplyForm =
  | { readonly kind: "text" | "json" | "page" }
  | { readonly kind: "grpc"; readonly contentType: string };

/**
 * Chooses the form of a reply: gRPC for a gRPC request; a page when a browser opens it as a page (`Sec-Fetch-Mode:
 * navigate`), or when `Accept` puts HTML first and no script asked; JSON when `Accept` puts JSON first; else text. Who takes
 * anything gets text.
 */
export function replyForm({ accept, contentType, fetchMode }: ReplyWishes): ReplyForm {
  const grpcType = grpcContentType(contentType);
  if (grpcType !== undefined) return { kind: "grpc", contentType: grpcType };
  const mode = fetchMode?.toLowerCase();
  if (mode === "navigate") return { kind: "page" };
  const first = firstAccepted(accept);
  if (first !== undefined && /^application\/([a-z0-9.-]+\+)?json$/.test(first)) return { kind: "json" };
  const isHtml = first === "text/html" || first === "application/xhtml+xml";
  return { kind: isHtml && mode === undefined ? "page" : "text" };
}

/** `application/grpc`, `application/grpc+proto`, `application/grpc-web` …, or `undefined`. */
function grpcContentType(contentType = ""): string | undefined {
  return /^application\/grpc([+-][a-z0-9+.-]*)?(?=\s*(;|$))/i.exec(contentType)?.[0].toLowerCase();
}

/** The media range with the highest quality, in lower case; the first of them on a tie (RFC 9110 12.5.1). */
function firstAccepted(accept: string | undefined): string | undefined {
  if (!accept) return undefined;
  let best: { readonly type: string; readonly quality: number } | undefined;
  for (const range of accept.split(",")) {
    const [type = "", ...parameters] = range.split(";").map((part) => part.trim().toLowerCase());
    const quality = qualityOf(parameters);
    if (type !== "" && quality > (best?.quality ?? 0)) best = { type, quality };
  }
  return best?.type;
}

/** The q parameter, 1 when there is none, 0 when it is not a quality. */
function qualityOf(parameters: readonly string[]): number {
  const parameter = parameters.find((text) => text.startsWith("q="));
  if (parameter === undefined) return 1;
  return /^(0(\.[0-9]{0,3})?|1(\.0{0,3})?)$/.test(parameter.slice(2)) ? Number(parameter.slice(2)) : 0;
}
