import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { request } from "undici";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type DevCluster, startDevCluster } from "../../lab/devcluster/cluster.ts";
import { eventually } from "../support/eventually.ts";
import { startTestRouter, type TestRouter } from "./support.ts";

// docs/access.md#traffic-tokens with an issuer, an API server and a pod, in one process and in several.

let cluster: DevCluster;
let issuer: Server;
let url: string;
let keySet: { keys: object[] };
let isAway: boolean;
let router: TestRouter;
let name: string;
let uid: string;

beforeEach(async () => {
  keySet = { keys: [] };
  isAway = false;
  issuer = createServer((asked, response) => {
    const isDiscovery = asked.url === "/.well-known/openid-configuration";
    const body = isDiscovery ? { issuer: url, jwks_uri: `${url}/keys` } : keySet;
    response.writeHead(isAway ? 503 : 200).end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => issuer.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(issuer.address() as AddressInfo).port}`;
  cluster = await startDevCluster({
    pods: { firstIp: "127.0.76.1", ipCount: 4, ports: [3000] },
    pools: [{ namespace: "team-a", name: "code", size: 1 }],
    delays: {
      start: { minMs: 5, maxMs: 10 },
      pause: { minMs: 1, maxMs: 5 },
      end: { minMs: 1, maxMs: 5 },
      notice: { minMs: 1, maxMs: 2 },
    },
  });
  const { metadata } = await cluster.claim({ id: "box", owner: "ada" });
  name = metadata.name;
  uid = metadata.uid ?? "";
});
afterEach(async () => {
  await router.router.stop();
  await cluster.stop();
  issuer.close();
});

async function signerOf(kid: string): Promise<(sandboxUid: string) => Promise<string>> {
  const { publicKey, privateKey } = await generateKeyPair("ES256", { extractable: true });
  keySet.keys.push({ ...(await exportJWK(publicKey)), kid });
  return (sandboxUid) =>
    new SignJWT({ sandbox: { sandboxId: "box", sandboxUid } })
      .setProtectedHeader({ alg: "ES256", kid })
      .setIssuer(url)
      .setSubject("ada")
      .setIssuedAt()
      .setNotBefore("0s")
      .setExpirationTime("10m")
      .sign(privateKey);
}

describe.each([1, 2])("with %i process(es) that serve", (workers) => {
  test("a sandbox that asks for a JWT is served to who has one for its UID, as soon as there are keys", async () => {
    const sign = await signerOf("one");
    isAway = true;
    router = await startTestRouter(
      { workers, accessLog: "off", logLevel: "error", auth: { jwtIssuer: url } },
      { apiServer: new URL(cluster.apiUrl), accessLog: () => {} },
    );
    await router.router.synced();
    const path = `/apis/agents.kruise.io/v1alpha1/namespaces/team-a/sandboxes/${name}`;
    const { body } = await request(new URL(path, cluster.apiUrl), {
      method: "PATCH",
      headers: { "content-type": "application/merge-patch+json" },
      body: JSON.stringify({
        metadata: { annotations: { "security.agents.kruise.io/enable-jwt-auth": "true" } },
      }),
    });
    await body.dump();
    const reasonWith = async (token?: string) => {
      const headers = token === undefined ? {} : { "e2b-traffic-access-token": token };
      const { status, reason = "ok" } = await router.ask("box", "/", headers);
      return `${status} ${reason}`;
    };
    await eventually(async () =>
      expect(await reasonWith(await sign(uid))).toBe("503 jwt_verifier_not_ready"),
    );
    isAway = false;
    await eventually(async () => expect(await reasonWith(await sign(uid))).toBe("200 ok"));
    // Each process has read the keys by itself.
    await eventually(async () => expect(await reasonWith()).toBe("403 traffic_token_invalid"));
    await eventually(async () => expect(await reasonWith("a.b.c")).toBe("403 traffic_token_invalid"));
    const foreign = await sign("another-uid");
    await eventually(async () => expect(await reasonWith(foreign)).toBe("403 traffic_token_mismatch"));
  });
});
