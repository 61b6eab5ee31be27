import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { SETTINGS } from "../../src/config/settings.ts";

/** The repository. */
export const ROOT = resolve(import.meta.dirname, "../..");

const FOLDERS = ["src", "lab", "test", "bench", "scripts", "deploy", "docs", "dashboards", "bin", ".ci"];
const TEXT = /\.(ts|js|mjs|md|ya?ml|css|html|service)$|Dockerfile$|^\.ci\/run$/;
/** The only numbered rules that comments cite without their page. Kernel rules (`ip rule`) have numbers as well. */
const RULES_PAGE = "docs/route-table.md";
const KERNEL_RULES = /(^|\/)(host|node)[-/]/;
/** Notes of those who built Lychgate, which never were in the repository. */
const OUTSIDE = /\b(?:design|rivals|style|prose)\.md|\b(?:kernel|perf|library|envoy|kube)-facts\b/g;

/** Every file that people read or that cites a page, relative to the repository. */
export function citingFiles(): string[] {
  const inFolders = FOLDERS.filter((folder) => existsSync(join(ROOT, folder))).flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
      .map((path) => `${folder}/${path}`)
      .filter((path) => !path.includes("node_modules/") && statSync(join(ROOT, path)).isFile()),
  );
  const atTop = readdirSync(ROOT).filter((path) => statSync(join(ROOT, path)).isFile());
  // The tests of these very rules cite what does not exist.
  return [...inFolders, ...atTop].filter((path) => TEXT.test(path) && !path.startsWith("test/docs/"));
}

const anchorsByPage = new Map<string, ReadonlySet<string>>();

/** The anchors of a page: its headings as GitHub spells them, and every `<a id>`. */
export function anchorsOf(page: string): ReadonlySet<string> {
  const known = anchorsByPage.get(page);
  if (known) return known;
  const anchors = new Set<string>();
  for (const line of prose(readFileSync(join(ROOT, page), "utf8"))) {
    for (const [, id = ""] of line.matchAll(/<a id="([^"]+)">/g)) anchors.add(id);
    const heading = /^#{1,6} +(.+?) *#*$/.exec(line)?.[1];
    if (heading === undefined) continue;
    const slug = heading
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}_ -]/gu, "")
      .replaceAll(" ", "-");
    let anchor = slug;
    for (let again = 1; anchors.has(anchor); again++) anchor = `${slug}-${again}`;
    anchors.add(anchor);
  }
  anchorsByPage.set(page, anchors);
  return anchors;
}

/** The numbered rules of the route table. */
export function ruleNumbers(): number[] {
  return [...anchorsOf(RULES_PAGE)]
    .map((anchor) => /^rule-(\d+)$/.exec(anchor)?.[1])
    .filter((number) => number !== undefined)
    .map(Number);
}

/** What `text` cites that does not exist: pages, anchors, rules, settings, links. One line for each. */
export function faultsOf(file: string, text: string): string[] {
  const lines = file.endsWith(".md") ? prose(text) : text.split("\n");
  return lines.flatMap((line, index) =>
    [...pagesIn(line), ...rulesIn(file, line), ...settingsIn(file, line), ...linksIn(file, line)].map(
      (fault) => `${file}:${index + 1}: ${fault}`,
    ),
  );
}

function pagesIn(line: string): string[] {
  const faults = [...line.matchAll(OUTSIDE)].map(([name]) => `${name} is not in the repository`);
  for (const [, page = "", anchor] of line.matchAll(/(?<![\w./${}-])(docs\/[\w./-]+\.md)(?:#([\w-]+))?/g)) {
    faults.push(...missing(page, anchor));
  }
  return faults;
}

function rulesIn(file: string, line: string): string[] {
  if (KERNEL_RULES.test(file) || !/^(src|lab|test|bench|docs)\//.test(file)) return [];
  const known = ruleNumbers();
  return [...line.matchAll(/\brules? (\d+)(?:(?: to | and |-)(?:rule )?(\d+))?/gi)]
    .flatMap(([, first, last]) => [first, last])
    .filter((number) => number !== undefined && !known.includes(Number(number)))
    .map((number) => `there is no rule ${number} in ${RULES_PAGE}`);
}

const settingKeys: ReadonlySet<string> = new Set(SETTINGS.map(({ key }) => key));
const sections: ReadonlySet<string> = new Set(SETTINGS.map(({ section }) => section));

/** Settings are cited as code: `watch.pageSize`, perhaps with a value behind it. */
function settingsIn(file: string, line: string): string[] {
  // It says what settings were called once.
  if (file === "CHANGELOG.md") return [];
  return [...line.matchAll(/`([a-z]+)\.([a-z]\w*)(?:: [^`]*)?`/g)]
    .filter(([, section = "", name = ""]) => sections.has(section) && name !== "ts")
    .map(([, section, name]) => `${section}.${name}`)
    .filter((key) => !settingKeys.has(key))
    .map((key) => `there is no setting ${key}`);
}

function linksIn(file: string, line: string): string[] {
  if (!file.endsWith(".md")) return [];
  return [...line.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target = ""]) => {
    if (/^[a-z]+:/i.test(target)) return [];
    const [path = "", anchor] = target.split("#");
    return missing(path === "" ? file : relative(ROOT, resolve(ROOT, dirname(file), path)), anchor);
  });
}

function missing(page: string, anchor: string | undefined): string[] {
  if (!existsSync(join(ROOT, page))) return [`there is no ${page}`];
  if (anchor === undefined || !page.endsWith(".md")) return [];
  return anchorsOf(page).has(anchor) ? [] : [`${page} has no anchor #${anchor}`];
}

/** The lines of a page; those of code blocks are left empty, so that line numbers are true. */
function prose(text: string): string[] {
  let isCode = false;
  return text.split("\n").map((line) => {
    const isFence = line.startsWith("```");
    if (isFence) isCode = !isCode;
    return isCode || isFence ? "" : line;
  });
}
