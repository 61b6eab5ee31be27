import type { StoredSandbox } from "./sandbox.ts";

const jsonTexts = new WeakMap<StoredSandbox, string>();

/** The object as JSON; kept with it, since every watcher is sent the same text. */
export function jsonOf(sandbox: StoredSandbox): string {
  let text = jsonTexts.get(sandbox);
  if (text === undefined) {
    text = JSON.stringify(sandbox);
    jsonTexts.set(sandbox, text);
  }
  return text;
}
