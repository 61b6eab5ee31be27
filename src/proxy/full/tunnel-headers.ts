/** Flat raw fields as http-proxy-3 writes them: by name, several values of one name together. */
export function headerRecord(flat: readonly string[]): Record<string, string | string[]> {
  const record: Record<string, string | string[]> = {};
  const nameOf = new Map<string, string>();
  for (let i = 0; i + 1 < flat.length; i += 2) {
    const lower = (flat[i] ?? "").toLowerCase();
    // It looks these two up in lower case, and would frame or keep the response in its own way without them.
    const asSent = lower === "content-length" || lower === "connection" ? lower : (flat[i] ?? "");
    const name = nameOf.get(lower) ?? asSent;
    nameOf.set(lower, name);
    const value = asUtf8(flat[i + 1] ?? "");
    const before = record[name];
    if (before === undefined) record[name] = value;
    else record[name] = Array.isArray(before) ? [...before, value] : [before, value];
  }
  return record;
}

/** http-proxy-3 writes heads as UTF-8: the text whose UTF-8 bytes are the latin1 bytes of `value`. */
function asUtf8(value: string): string {
  return Buffer.from(value, "latin1").toString("utf8");
}
