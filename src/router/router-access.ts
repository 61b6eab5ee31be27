import { readFileSync } from "node:fs";

import { Access } from "../access/access.ts";
import { ClientLimits } from "../access/client-limits.ts";
import { IssuerKeys } from "../access/issuer-keys.ts";
import { Previews } from "../access/previews.ts";
import { TrafficTokens } from "../access/traffic-tokens.ts";
import type { Config } from "../config/schema.ts";
import type { Clock } from "../system/clock.ts";
import { messageOf } from "../system/error-text.ts";
import type { Log } from "../system/log.ts";
import { SecretKeys } from "../system/secret-keys.ts";

/** Who may pass, in one process. */
export interface RouterAccess {
  readonly gate: Access;
  /** Absent: every client may ask, as often as it likes. */
  readonly clients: ClientLimits | undefined;
  /** Makes preview links; absent: there are none. */
  readonly previews: Previews | undefined;
  /** Reads keys no more. */
  stop(): void;
}

/**
 * Puts together who may pass, as the configuration has it. Each process has its own: keys come from files and from the issuer, and
 * what was verified is remembered where it is asked for.
 *
 * @throws Error when a file can't be read or holds no key; it names the setting.
 */
export function createRouterAccess({
  config: { auth, access, target },
  clock,
  log,
}: {
  readonly config: Pick<Config, "auth" | "access" | "target">;
  readonly clock: Clock;
  readonly log: Log;
}): RouterAccess {
  // Files first: one that is missing must not leave an issuer behind that is asked for ever.
  const ca = auth.jwtIssuer !== "" && auth.jwtCaFile !== "" ? readCa(auth.jwtCaFile) : undefined;
  const keys =
    access.previewKeyFiles.length > 0
      ? new SecretKeys({ setting: "access.previewKeyFiles", paths: access.previewKeyFiles, clock, log })
      : undefined;
  const issuer =
    auth.jwtIssuer === ""
      ? undefined
      : new IssuerKeys({ issuer: auth.jwtIssuer, ca, refreshMs: auth.jwtRefreshMs, clock, log });
  const previews = keys && new Previews(keys, clock);
  const rules = { issuer: auth.jwtIssuer, skewMs: auth.jwtSkewMs };
  const gate = new Access({
    accessToken: auth.accessToken,
    accessTokenHeader: auth.accessTokenHeader,
    forwardAccessToken: auth.forwardAccessToken === "always",
    byDefault: access.default,
    trafficTokens: issuer && new TrafficTokens(issuer, rules, clock),
    trafficTokenHeader: auth.jwtHeader,
    previews,
    hostHeader: target.hostHeader,
    previewOrigins: access.previewOrigins,
    clock,
  });
  const perClient = access.maxRequestsPerSecondPerClient;
  const perSandbox = access.maxRequestsPerSecondPerSandbox;
  const isLimited = access.allowFrom.length > 0 || perClient > 0 || perSandbox > 0;
  return {
    gate,
    clients: isLimited
      ? new ClientLimits({ allowFrom: access.allowFrom, perClient, perSandbox, clock })
      : undefined,
    previews,
    stop() {
      keys?.stop();
      issuer?.stop();
    },
  };
}

function readCa(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new Error(`auth.jwtCaFile: ${messageOf(error)}`, { cause: error });
  }
}
