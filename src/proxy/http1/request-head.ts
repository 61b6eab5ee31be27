/** A request's first line and fields, as every lane hands them on. Strings hold latin1 bytes, one per character. */
export interface RequestHead {
  readonly method: string;
  /** The request-target exactly as sent: origin-form, absolute-form or `*` (RFC 9112 3.2). */
  readonly target: string;
  /** Flat `name, value, name, value, …` in the order received, with the case and the duplicates received. */
  readonly rawHeaders: readonly string[];
  /** The fast lane's scanner found nothing that must be looked at as fields, and the version is 1.1. */
  readonly isPlain?: boolean;
  /** It came on a stream of HTTP/2, whose lane has looked at what frames it. */
  readonly isStream?: boolean;
  /** What {@link firstValue} says, where it can be told without taking all fields apart. */
  first?(lowerCaseName: string): string | undefined;
  /** What {@link allValues} says, in the same way. */
  all?(lowerCaseName: string): readonly string[];
}

/** The values of all fields of `head` called `lowerCaseName`, in the order received. */
export function valuesOf(head: RequestHead, lowerCaseName: string): readonly string[] {
  return head.all?.(lowerCaseName) ?? allValues(head.rawHeaders, lowerCaseName);
}

/** The value of the first field called `lowerCaseName`, or `undefined`. */
export function firstValue(rawHeaders: readonly string[], lowerCaseName: string): string | undefined {
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i];
    if (name?.length === lowerCaseName.length && name.toLowerCase() === lowerCaseName)
      return rawHeaders[i + 1];
  }
  return undefined;
}

/** The values of all fields called `lowerCaseName`, in the order received. */
export function allValues(rawHeaders: readonly string[], lowerCaseName: string): string[] {
  const values: string[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i];
    if (name?.length === lowerCaseName.length && name.toLowerCase() === lowerCaseName) {
      values.push(rawHeaders[i + 1] ?? "");
    }
  }
  return values;
}
