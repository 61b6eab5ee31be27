import { isIP } from "node:net";
import { z } from "zod";
import { isAlignedCidr } from "../system/cidrs.ts";
import { LISTEN_ADDRESS_FORM, parseListenAddress } from "./listen-address.ts";

/*
 * What a setting may be. Each function makes one key's schema of its limits, its default and its description; a fault's
 * message goes on from the key's name and begins with "must".
 */

/** A key that a reload changes while the router runs (config/live.ts); every other needs a restart. */
export const live = <Schema extends z.ZodType>(schema: Schema): Schema =>
  schema.meta({ ...schema.meta(), live: true });

/** A whole number from `min` to `max`. */
export const int = (min: number, max: number, byDefault: number, description: string) =>
  z.int().min(min).max(max).default(byDefault).describe(description);

/** `true` or `false`. */
export const bool = (byDefault: boolean, description: string) =>
  z.boolean().default(byDefault).describe(description);

/** A text of the shape `pattern`, else it "must be" `mustBe`. `form` names the shape in help and reference. */
export const text = (form: string, byDefault: string, pattern: RegExp, mustBe: string, description: string) =>
  z.string().regex(pattern, `must be ${mustBe}`).default(byDefault).meta({ description, form });

/** A secret, or empty: printable ASCII without spaces, as a header can carry it. Its value is never shown. */
export const secret = (byDefault: string, description: string) =>
  z
    .string()
    .regex(
      /^([\x21-\x7e]{8,4096})?$/,
      "must be empty, or 8 to 4096 printable ASCII characters without spaces",
    )
    .default(byDefault)
    .meta({ description, form: "secret" });

/** At most `max` texts, each an `item`; none by default. `form` names one of them in help and reference. */
export const list = (form: string, item: z.ZodString, max: number, description: string) =>
  z.array(item).max(max, `must hold at most ${max} entries`).default([]).meta({ description, form });

/** What can be watched: an API group, at its newest version that is known here, or a group and an older version. */
export const RESOURCES = ["agents.kruise.io", "agents.x-k8s.io", "agents.x-k8s.io/v1alpha1"] as const;

/** One or more of {@link RESOURCES}, each group once. */
export const resourceList = (description: string) =>
  z
    .array(z.enum(RESOURCES, `must be among ${RESOURCES.join(", ")}`))
    .min(1, "must name at least one CRD")
    .refine((names) => {
      const groups = names.map((name) => name.split("/", 1)[0]);
      return new Set(groups).size === groups.length;
    }, "must name each API group once, at one version")
    .default(["agents.kruise.io"])
    .meta({ description, form: "CRD" });

/** A listen address ({@link parseListenAddress}). */
export const address = (byDefault: string, description: string) =>
  z
    .string()
    .superRefine((value, context) => {
      const parsed = parseListenAddress(value);
      if ("fault" in parsed) context.addIssue({ code: "custom", message: parsed.fault });
    })
    .default(byDefault)
    .meta({ description, form: LISTEN_ADDRESS_FORM });

/** An {@link address}, or empty, which is the default. */
export const optionalAddress = (description: string) =>
  z
    .string()
    .superRefine((value, context) => {
      const parsed = value === "" ? { port: 0 } : parseListenAddress(value);
      if ("fault" in parsed) context.addIssue({ code: "custom", message: `${parsed.fault}, or empty` });
    })
    .default("")
    .meta({ description, form: LISTEN_ADDRESS_FORM });

/** Names that frame or route a message: taking a sandbox from one of them would break HTTP itself. */
const RESERVED_HEADERS = new Set([
  "connection",
  "content-length",
  "host",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** A request header's name, at most 128 characters, made lower-case; empty too when `optional`. */
export const headerName = (byDefault: string, optional: boolean, description: string) =>
  z
    .string()
    .regex(
      optional ? /^[!#$%&'*+.^_`|~0-9A-Za-z-]{0,128}$/ : /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/,
      `must be a header name${optional ? ", or empty" : ""}`,
    )
    .refine((name) => !RESERVED_HEADERS.has(name.toLowerCase()), "must not be a header that HTTP itself uses")
    .toLowerCase()
    .default(byDefault)
    .meta({ description, form: "header name" });

/** A label of DNS (RFC 1123). */
const LABEL = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?";
const NAMESPACE = new RegExp(`^${LABEL}$`);
/** A lower-case domain name of at most 253 characters, without a dot at either end. */
export const DOMAIN = new RegExp(`^(?=.{1,253}$)${LABEL}(\\.${LABEL})*$`);

/** The name of a namespace: one DNS label. */
export const namespaceName = z
  .string()
  .regex(NAMESPACE, "must be the name of a namespace: lower-case letters, digits and dashes, at most 63");

/** An IPv4 or IPv6 address, without a zone. */
export const ipAddress = z
  .string()
  .refine((value) => isIP(value) !== 0 && !value.includes("%"), "must be an IPv4 or IPv6 address");

/** An {@link ipAddress}, or empty, which is the default. */
export const optionalIpAddress = (description: string) =>
  z
    .string()
    .refine(
      (value) => value === "" || (isIP(value) !== 0 && !value.includes("%")),
      "must be an IPv4 or IPv6 address, or empty",
    )
    .default("")
    .meta({ description, form: "IP address" });

/** Where a peer may be: an IP address or a name, perhaps with a port, or the name of a service record. */
export const peerAddress = z
  .string()
  .regex(
    /^([a-z0-9.-]{1,253}(:\d{1,5})?|\[[0-9a-f:.]{2,45}\](:\d{1,5})?|[0-9a-f:.]{2,45}|_[a-z0-9-]+\._(tcp|udp)\.[a-z0-9.-]{1,240})$/i,
    "must be host, host:port, [IPv6]:port or _service._tcp.name",
  );

/** An address, or a block of them in CIDR notation, aligned to its length. */
export const cidrText = z
  .string()
  .refine(
    isAlignedCidr,
    "must be a CIDR such as 10.244.0.0/16 or 2001:db8::/48 whose address has no bit set beyond the length",
  );

/** A path of a file; not empty. */
export const filePath = z
  .string()
  // oxlint-disable-next-line no-control-regex -- a path may hold anything but NUL
  .regex(/^[^\0]{1,4096}$/, "must be a path");

/** A {@link filePath}, or empty, which is the default. */
export const optionalFilePath = (description: string) =>
  // oxlint-disable-next-line no-control-regex -- a path may hold anything but NUL
  text("path", "", /^[^\0]{0,4096}$/, "a path", description);

/** A name of a certificate: a DNS name, perhaps with `*` for its first label, or a SPIFFE ID, perhaps with `*` for segments. */
export const certificateName = z
  .string()
  .regex(
    new RegExp(`^(?=.{1,512}$)((\\*\\.)?${LABEL}(\\.${LABEL})*|spiffe://[a-z0-9._-]+(/([\\w.-]+|\\*))+)$`),
    "must be a lower-case DNS name (*.managers.svc for any first label) or a SPIFFE ID (spiffe://cluster.local/ns/*/sa/manager)",
  );

/** The name of a network interface, or its beginning with `*` at the end. */
export const interfaceName = z
  .string()
  .regex(
    /^[\w.:-]{1,15}\*?$/,
    "must be the name of an interface, such as eth0, or its beginning and a *: lxc*",
  );

/** An issuer of OpenID tokens, or empty, which is the default: an `https` URL, or an `http` one of this machine, as tokens spell it. */
export const optionalIssuer = (description: string) =>
  z
    .string()
    .regex(
      /^(https:\/\/[\w.~:[\]-]+(\/[\w.~%-]+)*\/?|http:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?(\/[\w.~%-]+)*\/?)?$/,
      "must be empty, or an https URL without query and fragment (http only of this machine)",
    )
    .default("")
    .meta({ description, form: "URL" });

/** An origin as browsers write it (RFC 6454 6.2). */
export const webOrigin = z
  .string()
  .regex(
    new RegExp(`^https?://(${LABEL}(\\.${LABEL})*|\\[[0-9a-f:.]+\\])(:\\d{1,5})?$`),
    "must be an origin such as https://app.example.com: scheme, lower-case host and perhaps a port, without a path",
  );

/** A {@link DOMAIN}. */
export const domainName = z
  .string()
  .regex(
    DOMAIN,
    "must be a lower-case domain name without a leading dot or a port, such as sandbox.example.com",
  );
