import { createHash } from "node:crypto";
import { OPEN, PRIVATE, type Route } from "../routes/route.ts";
import type { JsonObject } from "./json-fields.ts";

const ACCESS = "lychgate.dev/access";
const PREVIEW_EPOCH = "lychgate.dev/preview-epoch";

const PORTS = /^private-ports=\s*(\d{1,5}(?:\s*,\s*\d{1,5})*)\s*$/;
/** More than anybody serves; longer lists are as unreadable as wrong ones. */
const MAX_PORTS = 64;
const MAX_EPOCH_CHARACTERS = 64;

/**
 * Who may pass to a Sandbox, as its annotations say (docs/access.md#private-or-open). Fails closed: a value that can't be read makes the
 * sandbox private.
 */
export function readAccess(annotations: JsonObject): Pick<Route, "access" | "previewEpoch"> {
  return { access: accessOf(annotations[ACCESS]), previewEpoch: epochOf(annotations[PREVIEW_EPOCH]) };
}

function accessOf(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  if (value === OPEN) return OPEN;
  const [, list = ""] = typeof value === "string" ? (PORTS.exec(value) ?? []) : [];
  const ports = [...new Set(list.split(",").map(Number))].toSorted((a, b) => a - b);
  const areReadable = list !== "" && ports.length <= MAX_PORTS && ports.every((n) => n >= 1 && n <= 65_535);
  return areReadable ? ports.join(",") : PRIVATE;
}

/** Any text is an epoch; a long one is kept as its digest. */
function epochOf(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length <= MAX_EPOCH_CHARACTERS ? text : createHash("sha256").update(text).digest("hex");
}
