import { ApiError } from "./api-error.ts";

/** One choice of an Accept header: `application/json;as=Table;g=meta.k8s.io;v=v1`. */
export interface AcceptedType {
  readonly mediaType: string;
  readonly parameters: ReadonlyMap<string, string>;
}

/** How an object is shown: whole, or as rows for people (`kubectl get`). */
export type Representation =
  | { readonly as: "object" }
  | { readonly as: "table"; readonly version: "v1" | "v1beta1" };

/** The choices of an Accept header in the client's order; quality values are ignored, as Kubernetes ignores them. */
export function parseAccept(header: string | undefined): AcceptedType[] {
  return (header ?? "*/*")
    .split(",")
    .map((choice) => choice.split(";").map((part) => part.trim()))
    .map(([mediaType = "", ...parameters]) => ({
      mediaType: mediaType.toLowerCase(),
      parameters: new Map(
        parameters.map((parameter) => {
          const equals = parameter.indexOf("=");
          return [parameter.slice(0, equals), parameter.slice(equals + 1)] as const;
        }),
      ),
    }));
}

/** True when the choice is JSON or anything. */
export function acceptsJson(choice: AcceptedType): boolean {
  return ["application/json", "application/*", "*/*"].includes(choice.mediaType);
}

/**
 * The first representation in the Accept header that this server has.
 * @throws ApiError NotAcceptable when there is none (a client that speaks only protobuf, say)
 */
export function negotiateRepresentation(header: string | undefined): Representation {
  for (const choice of parseAccept(header).filter(acceptsJson)) {
    const as = choice.parameters.get("as");
    if (as === undefined) return { as: "object" };
    const version = choice.parameters.get("v");
    if (
      as === "Table" &&
      choice.parameters.get("g") === "meta.k8s.io" &&
      (version === "v1" || version === "v1beta1")
    ) {
      return { as: "table", version };
    }
  }
  throw new ApiError(
    "NotAcceptable",
    "only the following media types are accepted: application/json, application/json;as=Table;g=meta.k8s.io;v=v1",
  );
}
