import type { Config } from "./schema.ts";

/** The file that `admin.tokenFile` names holds no token. */
export class AdminTokenError extends Error {
  readonly code = "LYCHGATE_ADMIN_TOKEN";

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "AdminTokenError";
  }
}

const TOKEN = /^[\x21-\x7e]{8,4096}$/;

/**
 * The token that the admin port asks for; undefined when it asks for none. `readFile` returns a file's text or throws.
 *
 * @throws {AdminTokenError} when the file can't be read or holds no token. Says nothing of what it holds.
 */
export function adminTokenOf(
  { admin: { token, tokenFile } }: Pick<Config, "admin">,
  readFile: (path: string) => string,
): string | undefined {
  if (tokenFile === "") return token === "" ? undefined : token;
  let text: string;
  try {
    text = readFile(tokenFile).trim();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new AdminTokenError(`admin.tokenFile can't be read: ${reason}`, { cause: error });
  }
  if (TOKEN.test(text)) return text;
  throw new AdminTokenError(
    `admin.tokenFile (${tokenFile}) must hold one token: 8 to 4096 printable ASCII characters without spaces`,
  );
}
