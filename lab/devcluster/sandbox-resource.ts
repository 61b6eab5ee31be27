import type { Clock } from "../../src/system/clock.ts";
import { ApiError } from "./api-error.ts";
import { negotiateRepresentation } from "./content-negotiation.ts";
import { type ListPage, listPage } from "./list-page.ts";
import { type ObjectStore, type Preconditions, type WriteScope } from "./object-store.ts";
import { jsonOf } from "./object-json.ts";
import { applyJsonPatch, applyMergePatch } from "./patch.ts";
import {
  SANDBOX_KIND,
  SANDBOX_RESOURCE,
  type Sandbox,
  type SandboxManifest,
  type StoredSandbox,
} from "./sandbox.ts";
import { parseSelector } from "./selector.ts";
import { parseIncludeObject, printTable, SANDBOX_COLUMNS } from "./table-printer.ts";

/** What a request names: a collection (no name), an object, or its status. */
export interface SandboxPath {
  readonly namespace?: string;
  readonly name?: string;
  readonly subresource?: "status";
}

/** A request, read as far as a handler needs it. */
export interface ApiRequest {
  readonly method: string;
  readonly query: URLSearchParams;
  readonly accept: string | undefined;
  readonly contentType: string;
  /** The body as JSON, or `undefined` when there is none. */
  readonly body: () => Promise<unknown>;
}

/** What a handler answers. `text` is JSON. */
export interface ApiReply {
  readonly status: number;
  readonly text: string;
}

/** The verbs of the `sandboxes` resource over the store, as the API server offers a custom resource. */
export class SandboxResource {
  readonly #store: ObjectStore;
  readonly #clock: Clock;

  constructor(store: ObjectStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /**
   * Answers any request but a watch.
   * @throws ApiError
   */
  async handle(path: SandboxPath, request: ApiRequest): Promise<ApiReply> {
    if (request.query.get("dryRun")) {
      throw new ApiError("BadRequest", "dryRun is not supported by this server: leave it out");
    }
    const { namespace, name } = path;
    if (namespace === undefined || name === undefined) return this.#handleCollection(path, request);
    const scope: WriteScope = path.subresource ?? "main";
    switch (request.method) {
      case "GET":
        return this.#showOne(this.#require(namespace, name), request);
      case "PUT":
        return this.#showOne(await this.#replace(namespace, name, scope, request), request);
      case "PATCH":
        return this.#showOne(await this.#patch(namespace, name, scope, request), request);
      case "DELETE":
        if (scope === "main") return this.#delete(namespace, name, request);
        break;
    }
    throw methodNotAllowed();
  }

  async #handleCollection(path: SandboxPath, request: ApiRequest): Promise<ApiReply> {
    switch (request.method) {
      case "GET":
        return this.#showList(this.#list(path, request), request);
      case "POST":
        if (path.namespace !== undefined) {
          return this.#showOne(await this.#create(path.namespace, request), request, 201);
        }
        break;
      case "DELETE": {
        const page = this.#list(path, request);
        for (const { metadata } of page.items) this.#store.delete(metadata.namespace, metadata.name);
        return this.#showList(page, request);
      }
    }
    throw methodNotAllowed();
  }

  #list(path: SandboxPath, request: ApiRequest): ListPage {
    const { query } = request;
    const isSelective =
      path.namespace !== undefined || Boolean(query.get("labelSelector") || query.get("fieldSelector"));
    return listPage(this.#store, parseSelector(path.namespace, query), query, isSelective);
  }

  #require(namespace: string, name: string): StoredSandbox {
    const sandbox = this.#store.get(namespace, name);
    // The store says in its own words what is missing.
    return sandbox ?? this.#store.modify(namespace, name, () => {});
  }

  async #create(namespace: string, request: ApiRequest): Promise<StoredSandbox> {
    const manifest = manifestOf(await request.body());
    if (manifest.metadata["namespace"] !== undefined && manifest.metadata["namespace"] !== namespace) {
      throw new ApiError(
        "BadRequest",
        "the namespace of the object does not match the namespace of the request",
      );
    }
    const { status: _, ...rest } = manifest;
    return this.#store.create({ ...rest, metadata: { ...manifest.metadata, namespace } });
  }

  async #replace(
    namespace: string,
    name: string,
    scope: WriteScope,
    request: ApiRequest,
  ): Promise<StoredSandbox> {
    const manifest = manifestOf(await request.body());
    if (manifest.metadata["name"] !== name) {
      throw new ApiError("BadRequest", "the name of the object does not match the name on the URL");
    }
    const preconditions = preconditionsOf(manifest.metadata);
    if (preconditions.resourceVersion === undefined) {
      throw new ApiError(
        "Invalid",
        "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update",
      );
    }
    return this.#store.modify(namespace, name, () => manifest as Sandbox, { scope, preconditions });
  }

  async #patch(
    namespace: string,
    name: string,
    scope: WriteScope,
    request: ApiRequest,
  ): Promise<StoredSandbox> {
    const patch = await request.body();
    const apply = {
      "application/merge-patch+json": applyMergePatch,
      "application/json-patch+json": applyJsonPatch,
    };
    const kind = request.contentType as keyof typeof apply;
    if (!Object.hasOwn(apply, kind)) {
      throw new ApiError(
        "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json",
      );
    }
    return this.#store.modify(
      namespace,
      name,
      (draft) => {
        const stored = draft.metadata;
        const patched = manifestOf(apply[kind](draft, patch));
        const { uid, resourceVersion } = patched.metadata;
        if (differs(uid, stored.uid) || differs(resourceVersion, stored.resourceVersion)) {
          // A patch that names a version applies to that version only.
          throw new ApiError(
            "Conflict",
            `Operation cannot be fulfilled on ${name}: the object has been modified; please apply your changes to the latest version and try again`,
          );
        }
        return patched as Sandbox;
      },
      { scope },
    );
  }

  async #delete(namespace: string, name: string, request: ApiRequest): Promise<ApiReply> {
    const options = (await request.body()) as { preconditions?: Record<string, unknown> } | null | undefined;
    const { object, gone } = this.#store.delete(
      namespace,
      name,
      preconditionsOf(options?.preconditions ?? {}),
    );
    if (!gone) return this.#showOne(object, request);
    const details = { name, group: this.#store.crd.group, kind: SANDBOX_RESOURCE, uid: object.metadata.uid };
    const status = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", details };
    return { status: 200, text: JSON.stringify(status) };
  }

  #showOne(sandbox: StoredSandbox, request: ApiRequest, status = 200): ApiReply {
    const representation = negotiateRepresentation(request.accept);
    if (representation.as === "object") return { status, text: jsonOf(sandbox) };
    const metadata = { resourceVersion: sandbox.metadata.resourceVersion };
    return { status, text: this.#table([sandbox], representation.version, metadata, request.query) };
  }

  #showList(page: ListPage, request: ApiRequest): ApiReply {
    const metadata = {
      resourceVersion: page.version,
      ...(page.continueToken !== undefined && { continue: page.continueToken }),
      ...(page.remainingItemCount !== undefined && { remainingItemCount: page.remainingItemCount }),
    };
    const representation = negotiateRepresentation(request.accept);
    if (representation.as === "table") {
      return { status: 200, text: this.#table(page.items, representation.version, metadata, request.query) };
    }
    const head = JSON.stringify({
      apiVersion: this.#store.crd.apiVersion,
      kind: `${SANDBOX_KIND}List`,
      metadata,
    });
    return { status: 200, text: `${head.slice(0, -1)},"items":[${page.items.map(jsonOf).join(",")}]}` };
  }

  #table(
    items: readonly StoredSandbox[],
    version: "v1" | "v1beta1",
    metadata: Readonly<Record<string, unknown>>,
    query: URLSearchParams,
  ): string {
    const nowMs = this.#clock.nowMs();
    return JSON.stringify(
      printTable(items, SANDBOX_COLUMNS, {
        version,
        metadata,
        nowMs,
        includeObject: parseIncludeObject(query),
      }),
    );
  }
}

function manifestOf(body: unknown): SandboxManifest {
  const metadata = (body as Partial<SandboxManifest> | null | undefined)?.metadata;
  if (typeof metadata !== "object" || metadata === null) {
    throw new ApiError("BadRequest", "the body must be a Sandbox with metadata");
  }
  return body as SandboxManifest;
}

function preconditionsOf(fields: Readonly<Record<string, unknown>>): Preconditions {
  const read = (name: string): string | undefined => {
    const value = fields[name];
    return typeof value === "string" && value !== "" ? value : undefined;
  };
  return { uid: read("uid"), resourceVersion: read("resourceVersion") };
}

function differs(given: unknown, own: string): boolean {
  return given !== undefined && given !== own;
}

function methodNotAllowed(): ApiError {
  return new ApiError("MethodNotAllowed", "the server does not allow this method on the requested resource");
}
