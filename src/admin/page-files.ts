import { readFile } from "node:fs/promises";

/** A file of the status page. */
export interface PageFile {
  readonly type: string;
  readonly text: string;
}

const SCRIPT = "text/javascript; charset=utf-8";
const STYLE = "text/css; charset=utf-8";

/** Every file, by its path: nothing else of the folder can be asked for. */
const TYPES: Readonly<Record<string, string>> = {
  "index.html": "text/html; charset=utf-8",
  "icon.svg": "image/svg+xml",
  "style.css": STYLE,
  "app.js": SCRIPT,
  "charts.js": SCRIPT,
  "dom.js": SCRIPT,
  "explain.js": SCRIPT,
  "format.js": SCRIPT,
  "history.js": SCRIPT,
  "live.js": SCRIPT,
  "overview.js": SCRIPT,
  "pasted.js": SCRIPT,
  "routes.js": SCRIPT,
  "settings.js": SCRIPT,
  "sources.js": SCRIPT,
};

const files = new Map<string, Promise<PageFile>>();

/** Whether `/page/<name>` is one of the page's files. */
export function isPageFile(name: string): boolean {
  return Object.hasOwn(TYPES, name);
}

/** A file of the status page; read when it is first asked for, and kept. */
export function pageFile(name: string): Promise<PageFile> {
  const known = files.get(name);
  if (known) return known;
  const read = readFile(new URL(`page/${name}`, import.meta.url), "utf8").then((text) => {
    return { type: TYPES[name] ?? "application/octet-stream", text };
  });
  files.set(name, read);
  read.catch(() => files.delete(name));
  return read;
}

/**
 * What a page may do: run the page's own scripts and ask its own server, and nothing else. Trusted types: no script can
 * turn text into HTML, not even by mistake.
 */
export const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");
