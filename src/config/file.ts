import type { Document, Node, Pair, YAMLParseError } from "yaml";
import { LineCounter, isMap, isScalar, isSeq, parseDocument, visit } from "yaml";
import type { Problem } from "./config-error.ts";
import { FORMER_SECTIONS, formerly } from "./former-names.ts";
import type { Origin } from "./origins.ts";
import type { RawValue, SourceReading } from "./raw-value.ts";
import { SETTINGS, settingOf } from "./settings.ts";
import { nearest } from "./suggest.ts";

const SECTIONS: ReadonlySet<string> = new Set(SETTINGS.map(({ section }) => section).filter(Boolean));

/**
 * Reads a configuration file (YAML 1.2, so JSON too; one document). `name` is what origins call it. An empty file, or
 * a section with nothing in it, says nothing; an empty setting is a fault. Every value knows its line and column.
 */
export function readConfigFile(text: string, name: string): SourceReading {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: true,
    stringKeys: true,
  });
  const at = (offset: number): Origin => {
    const { line, col } = lines.linePos(offset);
    return { kind: "file", file: name, line, column: col };
  };
  const problems: Problem[] = document.errors.map((error) => ({
    code: error.code === "DUPLICATE_KEY" ? "duplicate_key" : "syntax",
    origin: at(error.pos[0]),
    message: messageOf(error),
  }));
  visit(document, {
    Alias: (_key, node) => {
      problems.push({
        code: "syntax",
        origin: at(node.range?.[0] ?? 0),
        message: "aliases are not supported: write the value out",
      });
    },
  });
  // After a syntax error the rest of the tree is a guess: unknown keys in it would only mislead.
  if (problems.some(({ code }) => code === "syntax")) return { values: [], problems };

  const reader = new FileReader(document, at);
  reader.readSection("", document.contents);
  return { values: reader.values, problems: [...problems, ...reader.problems] };
}

class FileReader {
  readonly values: RawValue[] = [];
  readonly problems: Problem[] = [];
  readonly #document: Document;
  readonly #at: (offset: number) => Origin;

  constructor(document: Document, at: (offset: number) => Origin) {
    this.#document = document;
    this.#at = at;
  }

  readSection(section: string, contents: unknown): void {
    if (isEmpty(contents)) return;
    if (!isMap(contents)) {
      this.problems.push({
        code: "invalid_value",
        origin: this.#originOf(contents),
        key: section || undefined,
        message: `${section || "the file"} must be a mapping of keys to values`,
      });
      return;
    }
    for (const pair of contents.items) this.#readPair(section, pair);
  }

  #readPair(section: string, pair: Pair): void {
    const name = isScalar(pair.key) ? String(pair.key.value) : String(pair.key);
    const key = section ? `${section}.${name}` : name;
    if (!section && (SECTIONS.has(name) || FORMER_SECTIONS.has(name))) {
      this.readSection(name, pair.value);
      return;
    }
    const setting = settingOf(key) ?? formerly(key);
    // A dot in a YAML key is part of its name, not a way down.
    if (!setting || name.includes(".")) {
      this.problems.push({
        code: "unknown_key",
        origin: this.#originOf(pair.key),
        message: unknownKey(key, section, name),
      });
      return;
    }
    const node = pair.value as Node | null;
    if (isEmpty(node)) {
      const message = `${key} has no value; take the key out to use its default`;
      this.problems.push({ code: "missing_value", origin: this.#originOf(pair.key), key, message });
      return;
    }
    const items = isSeq(node) ? { itemOrigins: node.items.map((item) => this.#originOf(item)) } : {};
    this.values.push({
      setting,
      value: node.toJS(this.#document),
      origin: this.#originOf(pair.value),
      formerName: setting.key === key ? undefined : key,
      ...items,
    });
  }

  #originOf(node: unknown): Origin {
    return this.#at((node as Node | null)?.range?.[0] ?? 0);
  }
}

function messageOf({ code, message }: YAMLParseError): string {
  if (code === "DUPLICATE_KEY") return "this key stands twice in its section";
  return code === "MULTIPLE_DOCS" ? "only one document may stand in the file" : `not valid YAML: ${message}`;
}

function isEmpty(node: unknown): node is null | undefined {
  return node === undefined || node === null || (isScalar(node) && node.value === null);
}

function unknownKey(key: string, section: string, name: string): string {
  const keys = [...SETTINGS.map((setting) => setting.key), ...(section ? [] : SECTIONS)];
  // Within a section its own keys are likelier than others.
  const near =
    nearest(
      key,
      keys.filter((candidate) => section && candidate.startsWith(`${section}.`)),
    ) ??
    nearest(key, keys) ??
    nearest(name, keys);
  if (!near) return `unknown key "${key}"`;
  if (near === key) {
    const [outer, inner] = key.split(".");
    return `unknown key "${key}"; write "${inner}" inside the section "${outer}"`;
  }
  return `unknown key "${key}"; did you mean "${near}"?`;
}
