import type { RouteInEffect } from "../routes/lookup.ts";
import { OPEN, PRIVATE, type Route } from "../routes/route.ts";
import type { Clock } from "../system/clock.ts";
import { isOwnPage, needsOwnPage } from "./own-page.ts";
import {
  locationOf,
  mayHavePreviewParameter,
  PREVIEW_COOKIE,
  PREVIEW_HEADER,
  previewCookies,
  setPreviewCookie,
  takePreviewParameter,
} from "./preview-cookie.ts";
import type { PreviewGrant } from "./preview-token.ts";
import type { PreviewRequest, Previews } from "./previews.ts";
import { isSameSecret } from "./same-secret.ts";
import type { TokenVerdict, TrafficTokens } from "./traffic-tokens.ts";

/** A request's head, as far as access looks at it. Strings hold latin1 bytes, one per character. */
export interface AccessHead {
  readonly method: string;
  readonly target: string;
  readonly rawHeaders: readonly string[];
  /** The values of all fields of this name, where they can be told without taking the head apart. */
  all?(lowerCaseName: string): readonly string[];
}

/** Where it goes. */
export interface AccessTarget {
  readonly port: number;
  /** For the pod; looked at only where `source` is `path`. */
  readonly path: string;
  readonly source: "path" | "header" | "host" | "template";
}

/** A route in effect, as far as access looks at it. */
export type AccessRoute = Pick<RouteInEffect, "route" | "access" | "previewEpoch">;

/** Why a request may not pass. */
export interface AccessRefusal {
  readonly reason:
    | "unauthorized"
    | "traffic_token_invalid"
    | "traffic_token_mismatch"
    | "jwt_verifier_not_ready"
    | "sandbox_private"
    | "preview_token_invalid"
    | "cross_site"
    | "preview_entered";
  /** Flat `name, value, …`: for the reply. Holds a token where the reply sets a cookie. */
  readonly fields?: readonly string[];
}

/** Fields that must not reach a pod. */
export interface Withheld {
  /** Lower case. */
  readonly fields: ReadonlySet<string>;
  /** The name of a cookie; `""`: none. */
  readonly cookie: string;
}

/** What {@link Access} goes by. */
export interface AccessOptions {
  /** Ask for `route.accessToken` of routes that have one. */
  readonly accessToken: boolean;
  /** Lower-case name of the header that carries it. */
  readonly accessTokenHeader: string;
  /** Pass that header on to every port; else, where the router asks for it, to the runtime's alone. */
  readonly forwardAccessToken: boolean;
  /** Of sandboxes that do not say. */
  readonly byDefault: typeof OPEN | typeof PRIVATE;
  /** Verifies traffic tokens; absent: nothing can. */
  readonly trafficTokens?: TrafficTokens | undefined;
  /** Lower-case name of the header that carries one. */
  readonly trafficTokenHeader: string;
  /** Reads preview links; absent: there are none. */
  readonly previews?: Previews | undefined;
  /** Lower-case name of the header that stands in for Host where it is present (`target.hostHeader`); `""`: none. */
  readonly hostHeader: string;
  /** Origins whose pages may use a preview's cookie for more than to look, beside the sandbox's own. */
  readonly previewOrigins: readonly string[];
  readonly clock: Clock;
}

/**
 * The port of the sandbox runtime (envd), which asks for a token itself: it is private only where a sandbox names it, and no preview
 * link lets anybody in to it.
 */
export const RUNTIME_PORT = 49_983;

/** Of a link that lets somebody in: the page behind it must not tell others where it came from. */
const NO_REFERRER = ["referrer-policy", "no-referrer"];

/**
 * Who may pass to a sandbox (docs/access.md): one function of the target, the route and the request's head. Asked before anything is
 * told of the sandbox's state. Holds no connection and no request; the keys come from outside.
 */
export class Access {
  readonly #options: AccessOptions;
  /** Lower-case names of the fields that {@link check} looks for in most requests. */
  readonly credentials: readonly string[];
  /** From every pod. */
  readonly withheld: Withheld;
  /** Lower-case name of one more field, which of some sandboxes only the runtime gets. */
  readonly withheldByPort: string | undefined;
  readonly #withheldFromApps: Withheld;

  constructor(options: AccessOptions) {
    this.#options = options;
    const {
      accessToken,
      accessTokenHeader,
      forwardAccessToken,
      trafficTokens,
      trafficTokenHeader,
      previews,
    } = options;
    const fields = [...(trafficTokens ? [trafficTokenHeader] : []), ...(previews ? [PREVIEW_HEADER] : [])];
    const cookie = previews ? PREVIEW_COOKIE : "";
    this.withheld = { fields: new Set(fields), cookie };
    this.credentials = accessToken || !forwardAccessToken ? [...fields, accessTokenHeader] : fields;
    this.withheldByPort = forwardAccessToken ? undefined : accessTokenHeader;
    this.#withheldFromApps = { fields: new Set([...fields, accessTokenHeader]), cookie };
  }

  /** What of a request must not reach the pod at this port; undefined: nothing. */
  withheldFrom(found: AccessRoute, port: number): Withheld | undefined {
    const withheld = this.#hidesAccessToken(found, port) ? this.#withheldFromApps : this.withheld;
    return withheld.fields.size === 0 && withheld.cookie === "" ? undefined : withheld;
  }

  /** Why a request may not pass; undefined: it may. Never throws. */
  check(head: AccessHead, target: AccessTarget, found: AccessRoute): AccessRefusal | undefined {
    const { previews } = this.#options;
    if (previews !== undefined && mayHavePreviewParameter(head.target)) {
      const entered = this.#enter(head, target, found, previews);
      if (entered !== undefined) return entered;
    }
    const demand = this.#demandOf(found, target.port);
    if (demand === undefined) return undefined;
    let refusal: AccessRefusal | undefined;
    if (previews !== undefined && target.port !== RUNTIME_PORT) {
      const shown = this.#byPreview(head, target, found, previews);
      if (shown === "granted") return undefined;
      refusal = shown;
    }
    switch (demand) {
      case "traffic_token":
        return this.#byTrafficToken(head, found.route, refusal);
      case "access_token":
        return this.#hasAccessToken(head, found.route) ? undefined : (refusal ?? UNAUTHORIZED);
      case "private": {
        const { route } = found;
        const isLetIn = this.#hasAccessToken(head, route) || this.#trafficVerdict(head, route) === "valid";
        return isLetIn ? undefined : (refusal ?? SANDBOX_PRIVATE);
      }
    }
  }

  /** What a sandbox asks for at a port, in words. */
  describe(found: AccessRoute, port: number): string {
    switch (this.#demandOf(found, port)) {
      case undefined:
        return "open: needs no token";
      case "traffic_token":
        return this.#options.trafficTokens === undefined
          ? "asks for a traffic token (JWT), and auth.jwtIssuer is not set"
          : `asks for a traffic token (JWT) in ${this.#options.trafficTokenHeader}`;
      case "access_token":
        return `needs its access token in ${this.#options.accessTokenHeader}`;
      case "private":
        return `private: needs a token for port ${port}`;
    }
  }

  #demandOf(found: AccessRoute, port: number): "traffic_token" | "access_token" | "private" | undefined {
    const { route } = found;
    if (route.requireTrafficAuth) return "traffic_token";
    if (this.#options.accessToken && route.accessToken !== "") return "access_token";
    return isPrivate(found.access ?? this.#options.byDefault, port) ? "private" : undefined;
  }

  /** The access token lets in to this port and to others, so what listens here must not learn it. */
  #hidesAccessToken(found: AccessRoute, port: number): boolean {
    const { accessToken, byDefault } = this.#options;
    if (this.withheldByPort === undefined || port === RUNTIME_PORT || found.route.accessToken === "")
      return false;
    return accessToken || isPrivate(found.access ?? byDefault, port);
  }

  /** A first visit by a preview link: the token goes into a cookie, and out of the URL. */
  #enter(
    head: AccessHead,
    target: AccessTarget,
    found: AccessRoute,
    previews: Previews,
  ): AccessRefusal | undefined {
    const taken = takePreviewParameter(head.target);
    if (taken === undefined) return undefined;
    const { token, rest } = taken;
    const { method } = head;
    const isVisit = (method === "GET" || method === "HEAD") && !isUpgrade(head);
    // A cookie for a host that stands for many sandboxes would be seen by them all.
    const isOwnHost = target.source === "host" || target.source === "template";
    if (!isVisit || !isOwnHost || !head.target.startsWith("/") || target.port === RUNTIME_PORT)
      return PREVIEW_INVALID;
    const grant = previews.grantFor(token, requestOf(head, target, found));
    if (grant === undefined) return PREVIEW_INVALID;
    const cookie = setPreviewCookie(token, this.#leftS(grant));
    return {
      reason: "preview_entered",
      fields: ["location", locationOf(rest), "set-cookie", cookie, ...NO_REFERRER],
    };
  }

  #leftS({ expiresAtS }: PreviewGrant): number {
    return Math.max(1, expiresAtS - Math.floor(this.#options.clock.nowMs() / 1000));
  }

  /** A preview's token in the header or in cookies. Returns why not, where there is one. */
  #byPreview(
    head: AccessHead,
    target: AccessTarget,
    found: AccessRoute,
    previews: Previews,
  ): "granted" | AccessRefusal | undefined {
    const shown = fieldValues(head, PREVIEW_HEADER);
    const request = requestOf(head, target, found);
    if (shown.length > 0) {
      const [token = ""] = shown;
      return shown.length === 1 && previews.grantFor(token, request) ? "granted" : PREVIEW_INVALID;
    }
    if (target.source === "path" || target.source === "header") return undefined;
    const cookies = previewCookies(fieldValues(head, "cookie"));
    if (cookies.length === 0) return undefined;
    if (!cookies.some((token) => previews.grantFor(token, request) !== undefined)) return PREVIEW_INVALID;
    return this.#mayUseCookie(head) ? "granted" : CROSS_SITE;
  }

  #mayUseCookie(head: AccessHead): boolean {
    if (!needsOwnPage(head.method, isUpgrade(head))) return true;
    const { hostHeader } = this.#options;
    const [named] = hostHeader === "" ? [] : fieldValues(head, hostHeader);
    const [host] = named ? [named] : fieldValues(head, "host");
    const [fetchSite] = fieldValues(head, "sec-fetch-site");
    const [origin] = fieldValues(head, "origin");
    return isOwnPage({ host, fetchSite, origin }, this.#options.previewOrigins);
  }

  #byTrafficToken(
    head: AccessHead,
    route: Route,
    refusal: AccessRefusal | undefined,
  ): AccessRefusal | undefined {
    switch (this.#trafficVerdict(head, route)) {
      case "valid":
        return undefined;
      case "not_ready":
        return NOT_READY;
      case "mismatch":
        return TRAFFIC_TOKEN_MISMATCH;
      case "invalid":
        return refusal ?? TRAFFIC_TOKEN_INVALID;
    }
  }

  #trafficVerdict(head: AccessHead, { id, uid }: Route): TokenVerdict {
    const { trafficTokens, trafficTokenHeader } = this.#options;
    if (trafficTokens === undefined) return "not_ready";
    const token = single(head, trafficTokenHeader) ?? "";
    return trafficTokens.check(token, id, uid);
  }

  #hasAccessToken(head: AccessHead, { accessToken }: Route): boolean {
    if (accessToken === "") return false;
    const token = single(head, this.#options.accessTokenHeader);
    return token !== undefined && isSameSecret(token, accessToken);
  }
}

const UNAUTHORIZED: AccessRefusal = { reason: "unauthorized" };
const SANDBOX_PRIVATE: AccessRefusal = { reason: "sandbox_private" };
const TRAFFIC_TOKEN_INVALID: AccessRefusal = { reason: "traffic_token_invalid" };
const TRAFFIC_TOKEN_MISMATCH: AccessRefusal = { reason: "traffic_token_mismatch" };
const NOT_READY: AccessRefusal = { reason: "jwt_verifier_not_ready" };
const PREVIEW_INVALID: AccessRefusal = { reason: "preview_token_invalid", fields: NO_REFERRER };
const CROSS_SITE: AccessRefusal = { reason: "cross_site" };

/** Whether a port is private by {@link Route.access}. */
function isPrivate(access: string, port: number): boolean {
  if (access === OPEN) return false;
  return access === PRIVATE ? port !== RUNTIME_PORT : access.split(",").includes(String(port));
}

function requestOf(
  head: AccessHead,
  target: AccessTarget,
  { route, previewEpoch = "" }: AccessRoute,
): PreviewRequest {
  const sent = target.source === "path" ? target.path : originForm(head.target);
  const [path = ""] = sent.split("?", 1);
  return { uid: route.uid, epoch: previewEpoch, port: target.port, method: head.method, path };
}

/** The path and query of a request-target that may be a whole URL (RFC 9112 3.2.2). */
function originForm(target: string): string {
  if (target.startsWith("/")) return target;
  return /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*(.*)$/i.exec(target)?.[1] || "/";
}

function isUpgrade(head: AccessHead): boolean {
  return fieldValues(head, "upgrade").length > 0;
}

/** The value of a field that stands there once. */
function single(head: AccessHead, lowerCaseName: string): string | undefined {
  const [value, ...more] = fieldValues(head, lowerCaseName);
  return more.length === 0 ? value : undefined;
}

function fieldValues(head: AccessHead, lowerCaseName: string): readonly string[] {
  if (head.all !== undefined) return head.all(lowerCaseName);
  const { rawHeaders } = head;
  const values: string[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i];
    if (name?.length === lowerCaseName.length && name.toLowerCase() === lowerCaseName)
      values.push(rawHeaders[i + 1] ?? "");
  }
  return values;
}
