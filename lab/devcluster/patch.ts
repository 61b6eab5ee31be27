import { isDeepStrictEqual } from "node:util";
import { ApiError } from "./api-error.ts";

/** Copies of a JSON patch may add so many bytes in all: a few `copy` operations could double a document each. */
const MAX_COPIED_BYTES = 3 * 1024 * 1024;
const MAX_OPERATIONS = 10_000;

type JsonObject = Record<string, unknown>;

/** Applies a JSON merge patch (RFC 7396) and returns the result; neither argument is changed. */
export function applyMergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const result = new Map(isObject(target) ? Object.entries(target) : []);
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) result.delete(key);
    else result.set(key, applyMergePatch(result.get(key), value));
  }
  return Object.fromEntries(result);
}

/**
 * Applies a JSON patch (RFC 6902) and returns the result; `document` is not changed.
 * @throws ApiError BadRequest for what is no patch, Invalid for one that does not fit (a failed `test` too)
 */
export function applyJsonPatch(document: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) throw new ApiError("BadRequest", "a JSON patch must be an array of operations");
  if (patch.length > MAX_OPERATIONS) {
    throw new ApiError("RequestEntityTooLarge", `a JSON patch may hold ${MAX_OPERATIONS} operations`);
  }
  const root = { "": structuredClone(document) };
  let copiedBytes = 0;
  for (const operation of patch as readonly unknown[]) {
    if (!isObject(operation) || typeof operation["op"] !== "string") {
      throw new ApiError("BadRequest", "each operation of a JSON patch needs op and path");
    }
    const path = pointer(operation, "path");
    switch (operation["op"]) {
      case "add":
        add(root, path, structuredClone(operation["value"]));
        break;
      case "remove":
        remove(root, path);
        break;
      case "replace":
        remove(root, path);
        add(root, path, structuredClone(operation["value"]));
        break;
      case "move": {
        const from = pointer(operation, "from");
        if (path.length > from.length && from.every((token, i) => path[i] === token)) {
          throw unfit("a value cannot be moved into itself");
        }
        add(root, path, remove(root, from));
        break;
      }
      case "copy": {
        const value = structuredClone(read(root, pointer(operation, "from")));
        copiedBytes += JSON.stringify(value).length;
        if (copiedBytes > MAX_COPIED_BYTES) {
          throw new ApiError("RequestEntityTooLarge", "the copy operations of the JSON patch copy too much");
        }
        add(root, path, value);
        break;
      }
      case "test":
        if (!isDeepStrictEqual(read(root, path), operation["value"])) {
          throw unfit(`testing value ${String(operation["path"])} failed`);
        }
        break;
      default:
        throw new ApiError(
          "BadRequest",
          `unknown operation ${JSON.stringify(operation["op"])} in the JSON patch`,
        );
    }
  }
  return root[""];
}

/** The tokens of a JSON pointer (RFC 6901), below a root object whose one key is the empty string. */
function pointer(operation: JsonObject, member: "path" | "from"): string[] {
  const text = operation[member];
  if (typeof text !== "string" || (text !== "" && !text.startsWith("/"))) {
    throw new ApiError("BadRequest", `${member} of a JSON patch operation must be "" or start with "/"`);
  }
  return text.split("/").map((token) => token.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function read(root: unknown, path: readonly string[]): unknown {
  let value = root;
  for (const token of path) {
    if (Array.isArray(value)) value = value[index(token, value.length - 1)] as unknown;
    else if (isObject(value) && Object.hasOwn(value, token)) value = value[token];
    else throw unfit(`the JSON patch names a path that does not exist: ${path.join("/")}`);
  }
  return value;
}

function add(root: JsonObject, path: readonly string[], value: unknown): void {
  const parent = read(root, path.slice(0, -1));
  const token = path.at(-1) ?? "";
  if (Array.isArray(parent)) {
    parent.splice(token === "-" ? parent.length : index(token, parent.length), 0, value);
  } else if (isObject(parent) && token !== "__proto__") {
    parent[token] = value;
  } else {
    throw unfit(`the JSON patch adds below something that holds nothing: ${path.join("/")}`);
  }
}

function remove(root: JsonObject, path: readonly string[]): unknown {
  const value = read(root, path);
  const parent = read(root, path.slice(0, -1));
  const token = path.at(-1) ?? "";
  if (Array.isArray(parent)) parent.splice(index(token, parent.length - 1), 1);
  else if (isObject(parent)) delete parent[token];
  return value;
}

function index(token: string, max: number): number {
  const position = /^(0|[1-9]\d*)$/.test(token) ? Number(token) : Infinity;
  if (position > max) throw unfit(`the JSON patch names array element ${token}, which does not exist`);
  return position;
}

function unfit(message: string): ApiError {
  return new ApiError("Invalid", message);
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
