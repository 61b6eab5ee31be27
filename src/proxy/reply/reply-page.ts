import { createHash } from "node:crypto";

import { PAGE_WORDS } from "./page-words.ts";
import type { RefusalReason } from "./reasons.ts";

/** What a page is about. All of it is text: the page escapes it. */
export interface PageFacts {
  readonly reason: RefusalReason;
  readonly status: number;
  /** The reply's words as text. */
  readonly message: string;
  readonly requestId: string;
  readonly sandbox: string | undefined;
  readonly port: number | undefined;
}

/** Makes the page for a reply of our own, and says with which fields it goes out (flat `name, value, …`). */
export interface ReplyPage {
  readonly headers: readonly string[];
  render(facts: PageFacts): string;
}

/** A template of a page names something that no page has. Code `reply_template_invalid`. */
export class ReplyTemplateError extends Error {
  readonly code = "reply_template_invalid";
  override readonly name = "ReplyTemplateError";
}

const STYLE = `
:root{color-scheme:light dark;--ink:light-dark(#1b1c1a,#ecebe5);--soft:light-dark(#5d5e58,#a9a89f);--rule:light-dark(#e0dfd8,#343531)}
body{margin:0;min-height:100vh;display:grid;place-items:center;background:light-dark(#f4f4f0,#141513);color:var(--ink);font:1rem/1.55 system-ui,"Segoe UI",Roboto,"Noto Sans",sans-serif}
main{box-sizing:border-box;width:100%;max-width:36rem;padding:2rem 1.5rem}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 .75rem}
p{margin:0 0 .75rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1rem;margin:2rem 0 0;padding-top:1rem;border-top:1px solid var(--rule);color:var(--soft);font-size:.85rem}
dd{margin:0;overflow-wrap:anywhere;font-family:ui-monospace,"SF Mono",Menlo,Consolas,monospace}
`;

const BUILT_IN = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{{title}}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>{{title}}</h1>
<p>{{what}}</p>
<p>{{advice}}</p>
<dl>
<dt>Sandbox</dt><dd>{{sandbox}}</dd>
<dt>Reason</dt><dd>{{reason}}</dd>
<dt>Status</dt><dd>{{status}}</dd>
<dt>Request ID</dt><dd>{{requestId}}</dd>
</dl>
</main>
</body>
</html>
`;

const GAPS = [
  "title",
  "what",
  "advice",
  "message",
  "sandbox",
  "port",
  "reason",
  "status",
  "requestId",
] as const;

const GAP = /\{\{\s*([^{}]*?)\s*\}\}/g;

/**
 * The page that stands for itself: no script, no file from elsewhere, in the reader's light or dark scheme. Its style is the only thing
 * that its `Content-Security-Policy` lets a browser use.
 */
export function builtInPage(): ReplyPage {
  const hash = createHash("sha256").update(STYLE).digest("base64");
  const policy = `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'`;
  return pageOf(BUILT_IN, ["content-security-policy", policy]);
}

/**
 * A page by a template of one's own. `{{title}}`, `{{what}}`, `{{advice}}`, `{{message}}`, `{{sandbox}}`, `{{port}}`, `{{reason}}`,
 * `{{status}}` and `{{requestId}}` are filled in, escaped as text of HTML and of its attributes; what is not known is `-`. Throws
 * {@link ReplyTemplateError} on other names.
 */
export function templatePage(template: string): ReplyPage {
  for (const [gap, name] of template.matchAll(GAP)) {
    if (GAPS.some((known) => known === name)) continue;
    throw new ReplyTemplateError(`${gap} is not one of ${GAPS.map((known) => `{{${known}}}`).join(", ")}`);
  }
  return pageOf(template, []);
}

function pageOf(template: string, headers: readonly string[]): ReplyPage {
  return {
    headers: [...headers, "referrer-policy", "no-referrer", "x-content-type-options", "nosniff"],
    render({ reason, status, message, sandbox, port, requestId }) {
      const { title, what, advice } = PAGE_WORDS[reason];
      const values: Readonly<Record<(typeof GAPS)[number], string | number | undefined>> = {
        title,
        what: what.replaceAll(" <port>", port === undefined ? "" : ` ${port}`),
        advice,
        message,
        sandbox,
        port,
        reason,
        status,
        requestId,
      };
      const valueOf = new Map<string, string | number | undefined>(Object.entries(values));
      return template.replace(GAP, (_gap, name: string) => escapeHtml(String(valueOf.get(name) ?? "-")));
    },
  };
}

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ESCAPES[character] ?? character);
}
