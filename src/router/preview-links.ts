import { RUNTIME_PORT } from "../access/access.ts";
import { PREVIEW_HEADER, PREVIEW_PARAMETER } from "../access/preview-cookie.ts";
import { isPathPrefix } from "../access/preview-token.ts";
import type { Previews } from "../access/previews.ts";
import { AdminQueryError } from "../admin/admin-query.ts";
import type { PreviewInput, PreviewLink } from "../admin/api-types.ts";
import type { Config } from "../config/schema.ts";
import type { Target, TargetParser } from "../proxy/target/target.ts";
import type { RouteLookup } from "../routes/lookup.ts";
import type { Clock } from "../system/clock.ts";

/** What preview links are made of. */
export interface PreviewLinkParts {
  readonly config: Config;
  readonly previews: Previews;
  readonly parseTarget: TargetParser;
  readonly table: RouteLookup;
  readonly clock: Clock;
}

const DEFAULT_SECONDS = 3600;

/** What answers `POST /api/preview` (docs/access.md#preview-links). */
export function previewLinks(parts: PreviewLinkParts): (input: PreviewInput) => PreviewLink {
  const { config, previews, table, clock } = parts;
  return ({ host, port, forSeconds = DEFAULT_SECONDS, pathPrefix: given, methods }) => {
    const maxSeconds = Math.floor(config.access.previewMaxMs / 1000);
    if (forSeconds > maxSeconds) {
      throw new AdminQueryError(`forSeconds must be at most ${maxSeconds} (access.previewMaxMs)`);
    }
    const pathPrefix = given === undefined || given === "/" ? undefined : given.replace(/\/$/, "");
    if (pathPrefix !== undefined && !isPathPrefix(pathPrefix)) {
      throw new AdminQueryError("pathPrefix must be a plain path such as /docs, without encoded characters");
    }
    const named = namedBy(host, port, parts);
    const { target } = named;
    if (target.port === RUNTIME_PORT) {
      throw new AdminQueryError(
        `no link lets anybody in to port ${RUNTIME_PORT}: its program asks for a token itself`,
      );
    }
    const { by } = target;
    const found = by.kind === "id" ? table.lookup(by.id) : table.lookupObject(by.namespace, by.name);
    if (found.kind !== "found")
      throw new AdminQueryError(`no sandbox ${target.label} is known, or two have that ID`);
    const expiresAtS = Math.floor(clock.nowMs() / 1000) + forSeconds;
    const { uid } = found.route;
    const token = sign(
      previews,
      { uid, port: target.port, expiresAtS, pathPrefix, methods },
      found.previewEpoch,
    );
    const scheme = /(^|\.)localhost(:\d+)?$/.test(named.host) ? "http" : "https";
    return {
      url: `${scheme}://${named.host}${pathPrefix ?? "/"}?${PREVIEW_PARAMETER}=${token}`,
      token,
      header: PREVIEW_HEADER,
      sandbox: target.label,
      port: target.port,
      expiresAt: new Date(expiresAtS * 1000).toISOString(),
    };
  };
}

function sign(previews: Previews, grant: Parameters<Previews["sign"]>[0], epoch = ""): string {
  try {
    return previews.sign(grant, epoch);
  } catch (error) {
    if (error instanceof RangeError) throw new AdminQueryError(error.message);
    throw error;
  }
}

/** The Host of this port of the sandbox that `host` names: a link's cookie needs one of its own. */
function namedBy(
  host: string,
  port: number | undefined,
  { parseTarget }: PreviewLinkParts,
): { readonly host: string; readonly target: Target } {
  const lower = host.toLowerCase();
  const spellings =
    port === undefined ? [lower] : [lower, `${port}-${lower.replace(/^\d{1,5}-/, "")}`, `${port}-${lower}`];
  for (const spelling of spellings) {
    const result = parseTarget({ method: "GET", target: "/", rawHeaders: ["Host", spelling] });
    if (result.kind !== "target") continue;
    const { target } = result;
    const isOwnHost = target.source === "host" || target.source === "template";
    if (isOwnHost && (port === undefined || target.port === port)) return { host: spelling, target };
  }
  throw new AdminQueryError(
    "host must name a port of a sandbox, as in 3000-id.example.com, or be given with port: a link needs a host of its own",
  );
}
