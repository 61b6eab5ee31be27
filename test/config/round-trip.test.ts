import * as fc from "fast-check";
import { expect, test } from "vitest";
import { formatOrigin } from "../../src/config/origins.ts";
import { renderYaml, valueOf } from "../../src/config/render.ts";
import { configFrom } from "../../src/config/load.ts";
import type { Config } from "../../src/config/schema.ts";
import type { Setting, SettingValue } from "../../src/config/settings.ts";
import { SETTINGS } from "../../src/config/settings.ts";
import { load } from "./support.ts";

const label = fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?$/);
const domain = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join("."));
const address = fc
  .tuple(
    fc.constantFrom("", "127.0.0.1", "[::1]", "[2001:db8::7]", "localhost", "0.0.0.0"),
    fc.integer({ min: 0, max: 65_535 }),
  )
  .map(([host, port]) => `${host}:${port}`);
const header = fc.stringMatching(/^x-[a-z0-9!#$%&'*+.^_`|~-]{1,20}$/);

/** Texts by key, since each has a grammar of its own. Quotes, spaces, #, : and the like must survive YAML and shell-less argv. */
const TEXTS: Readonly<Record<string, fc.Arbitrary<SettingValue>>> = {
  listen: address,
  peerListen: address,
  adminListen: address,
  kubeconfig: fc
    .string({ unit: "binary", maxLength: 30 })
    .filter((text) => !/\0|^-/.test(text) && text.isWellFormed()),
  context: fc.string({ maxLength: 30 }).filter((text) => !text.startsWith("-") && !/\p{Cc}/u.test(text)),
  namespace: fc.uniqueArray(label, { maxLength: 4 }),
  resources: fc.constantFrom(
    ["agents.kruise.io"],
    ["agents.x-k8s.io/v1alpha1"],
    ["agents.kruise.io", "agents.x-k8s.io"],
  ),
  selector: fc.constantFrom("", "a=b", "app in (a, b),!c", "tier: x # not a comment", "'q'", '"'),
  "target.domains": fc.uniqueArray(domain, { maxLength: 3 }),
  "target.sandboxHeader": header,
  "target.portHeader": header,
  "target.hostHeader": fc.oneof(fc.constant(""), header),
  "target.pathPrefix": fc.constantFrom("", "/kruise", "/a/b-c.d~e_f"),
  "target.templates": fc.constantFrom(
    [],
    ["{id}.x.dev"],
    ["{name}.{namespace}.x.dev:80", "{port}-{id}.y.dev"],
  ),
  "target.maskHost": fc.constantFrom("", "localhost:{port}", "app.internal", "a:80"),
  "auth.accessTokenHeader": header,
  "auth.jwtHeader": header,
  "auth.jwtIssuer": fc.constantFrom("", "https://issuer.example.com", "http://127.0.0.1:8080/a/b"),
  "auth.jwtCaFile": fc.constantFrom("", "/etc/lychgate/ca.pem"),
  "access.previewKeyFiles": fc.subarray(["/etc/lychgate/preview/now", "/etc/lychgate/preview/before"]),
  "access.previewOrigins": fc.subarray(["https://app.example.com", "http://localhost:3000"]),
  "access.allowFrom": fc.subarray(["10.0.0.0/8", "::1"]),
  // What is set is not written; see secrets.test.ts.
  "admin.token": fc.constant(""),
  "client.errorPageFile": fc.constantFrom("", "/etc/lychgate/page.html", "a # b"),
  "admin.tokenFile": fc.constantFrom("", "/etc/lychgate/token", "a # b"),
  "admin.hosts": fc.uniqueArray(domain, { maxLength: 3 }),
  "client.proxyProtocol": fc.subarray(["10.0.0.0/8", "::1"]),
  // These go together: see LISTENERS.
  "tls.listen": fc.constant(""),
  "tls.certFiles": fc.constant([]),
  "tls.keyFiles": fc.constant([]),
  "tls.clientAuth": fc.constant("off"),
  "tls.clientCaFile": fc.constant(""),
  "tls.redirect": fc.constant(false),
  "routes.podCidrs": fc.subarray(["10.244.0.0/16", "127.0.0.0/8", "fd00::/48"]),
  "peers.allowFrom": fc.subarray(["10.0.0.0/8", "::1"]),
  // These go together: see PROOFS.
  "peers.require": fc.constant("none"),
  "peers.hmacKeyFiles": fc.constant([]),
  "peers.tlsCertFile": fc.constant(""),
  "peers.tlsKeyFile": fc.constant(""),
  "peers.tlsCaFile": fc.constant(""),
  "peers.tlsNames": fc.constant([]),
  // It goes with others only: see test/router/replicas.test.ts.
  "antiEntropy.enabled": fc.constant(false),
  "antiEntropy.peers": fc.subarray(["10.0.0.7", "[fd00::7]:7789", "routers.example.com", "_p._tcp.x.dev"]),
  "snapshot.path": fc.constantFrom("", "/var/lib/lychgate/a: b # c"),
  "memberlist.listen": address,
  "memberlist.advertiseAddress": fc.constantFrom("", "10.0.0.7", "fd00::7"),
  "memberlist.name": fc.constantFrom("", "sg-a", "two words # not a comment"),
  "memberlist.join": fc.subarray(["10.0.0.7", "[fd00::7]:7946", "managers.example.com:1", "_m._tcp.x.dev"]),
  "memberlist.podNamespace": fc.oneof(fc.constant(""), label),
  "memberlist.podSelector": fc.constantFrom("", "component=sandbox-manager", "app in (a, b),!c"),
  "memberlist.label": fc.constantFrom("", "a: b # c"),
  "memberlist.keyFile": fc.constantFrom("", "/etc/lychgate/keys"),
  "anycast.addresses": fc.subarray(["192.0.2.1", "2001:db8::1"]),
  "anycast.birdSocket": fc.constantFrom("/run/bird/bird.ctl", "/a b/#c"),
  "anycast.includeFile": fc.constantFrom("/run/lychgate/router.conf", "/x: y"),
  "node.overlapCidrs": fc.subarray(["10.244.0.0/16", "192.0.2.1", "2001:db8::/48", "::/0", "fd00::1/128"]),
  "node.overlapInterfaces": fc.subarray(["eth0", "lxc*", "en.1-a:2"]),
};

const TLS = {
  tlsCertFile: "/tls/a: b.crt",
  tlsKeyFile: "/tls/#.key",
  tlsCaFile: "ca",
  tlsNames: ["*.managers.svc", "a", "spiffe://cluster.local/ns/*/sa/manager"],
};
/** Proofs of peers, each with all that it needs. */
const PROOFS = fc.constantFrom(
  {},
  { hmacKeyFiles: ["/etc/lychgate/key"] },
  { require: "hmac", hmacKeyFiles: ["a # b", "/c"], ...TLS },
  { require: "mtls", ...TLS },
);

/** TLS listeners, each with all that it needs. */
const LISTENERS = fc.constantFrom(
  {},
  { listen: ":8443", certFiles: ["/tls/a: b.crt"], keyFiles: ["/tls/#.key"] },
  {
    listen: "[::1]:8443",
    certFiles: ["a", "b"],
    keyFiles: ["c", "d"],
    clientAuth: "required",
    clientCaFile: "ca # 1",
    redirect: true,
  },
);

function arbitraryOf(setting: Setting): fc.Arbitrary<SettingValue> {
  const text = TEXTS[setting.key];
  if (text) return text;
  if (setting.kind === "boolean") return fc.boolean();
  if (setting.kind === "choice") return fc.constantFrom(...setting.placeholder.split("|"));
  const [min = 0, max = 0] = setting.type.match(/\d+/g)?.map(Number) ?? [];
  return fc.oneof(fc.integer({ min, max }), fc.constantFrom(min, max));
}

test("every text and list has values here, or hardly any configuration would be valid", () => {
  const needed = SETTINGS.filter(({ kind }) => kind === "text" || kind === "list").map(({ key }) => key);
  expect(needed.filter((key) => !Object.hasOwn(TEXTS, key))).toEqual([]);
});

/** Any subset of settings, that together are valid. */
const configs: fc.Arbitrary<Config> = fc
  .tuple(
    fc.record(Object.fromEntries(SETTINGS.map((setting) => [setting.key, arbitraryOf(setting)])), {
      requiredKeys: [],
    }),
    PROOFS,
    LISTENERS,
  )
  .map(([values, proofs, listeners]) => {
    const input: Record<string, unknown> = {};
    for (const [key, value] of Object.entries(values)) {
      const [section = "", name] = key.split(".");
      if (name === undefined) input[section] = value;
      else input[section] = { ...(input[section] as object), [name]: value };
    }
    input["peers"] = { ...(input["peers"] as object | undefined), ...proofs };
    input["tls"] = { ...(input["tls"] as object | undefined), ...listeners };
    try {
      return configFrom(input);
    } catch {
      return undefined;
    }
  })
  .filter((config) => config !== undefined);

const asText = (value: SettingValue) => (Array.isArray(value) ? value.join(",") : String(value));

test("configuration → YAML → configuration is the identity", () => {
  fc.assert(
    fc.property(configs, (config) => {
      const origins = new Map(SETTINGS.map(({ key }) => [key, { kind: "default" }] as const));
      const file = renderYaml({ config, origins, file: undefined });
      const loaded = load({ file });
      expect(loaded.config).toEqual(config);
      for (const origin of loaded.origins.values())
        expect(formatOrigin(origin)).toMatch(/^lychgate\.yaml:\d+:\d+$/);
    }),
  );
});

test("configuration → flags → configuration is the identity", () => {
  fc.assert(
    fc.property(configs, (config) => {
      const argv = SETTINGS.flatMap((setting) => {
        const value = valueOf(config, setting);
        if (Array.isArray(value) && value.length > 0)
          return value.flatMap((entry: string) => [setting.flag, entry]);
        if (setting.kind === "boolean" || Array.isArray(value)) return [`${setting.flag}=${asText(value)}`];
        return [setting.flag, asText(value)];
      });
      expect(load({ argv }).config).toEqual(config);
    }),
  );
});

test("configuration → environment → configuration is the identity", () => {
  fc.assert(
    fc.property(configs, (config) => {
      const environment = Object.fromEntries(
        SETTINGS.map((setting) => [setting.variable, asText(valueOf(config, setting))]),
      );
      expect(load({ environment }).config).toEqual(config);
    }),
  );
});

test("no value can move the cursor of the terminal that it is printed to, and each loads again", () => {
  const kubeconfig = "/a\u001B[2J/b\u009B2J/c\u202E\u2028/d e";
  const yaml = renderYaml(load({ argv: [`--kubeconfig=${kubeconfig}`] }));
  expect(yaml).not.toMatch(/(?![ \n])[\p{C}\p{Z}]/u);
  expect(load({ file: yaml }).config.kubeconfig).toBe(kubeconfig);
});
