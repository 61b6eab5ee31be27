import { readFileSync, statSync } from "node:fs";

import type { Config } from "../config/schema.ts";
import { messageOf } from "../system/error-text.ts";
import { type ReplyPage, templatePage } from "../proxy/reply/reply-page.ts";

/** A page is for people, and each reply holds it whole. */
const MAX_BYTES = 256 * 1024;

/** The file that `client.errorPageFile` names can't be used. Code `LYCHGATE_ERROR_PAGE`. */
export class ErrorPageError extends Error {
  readonly code = "LYCHGATE_ERROR_PAGE";
  override readonly name = "ErrorPageError";
}

/**
 * The page that `client.errorPageFile` describes; `undefined` where none is configured, for the built-in one.
 *
 * @throws {ErrorPageError} when the file can't be read, is too long, or has gaps that no page has.
 */
export function errorPageOf({ client: { errorPageFile: path } }: Config): ReplyPage | undefined {
  if (path === "") return undefined;
  try {
    const { size } = statSync(path);
    if (size > MAX_BYTES) throw new RangeError(`it has ${size} bytes: at most ${MAX_BYTES} are taken`);
    return templatePage(readFileSync(path, "utf8"));
  } catch (error) {
    throw new ErrorPageError(`client.errorPageFile (${path}) can't be used: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
