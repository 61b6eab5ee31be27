// What programs of npm send: `node node.mjs NAME URL`. Packages are taken from the folder that it is run in.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [name, url] = process.argv.slice(2);
const from = createRequire(pathToFileURL(`${process.cwd()}/`));
const load = (module) => import(pathToFileURL(from.resolve(module)).href);

const clients = {
  "node-fetch": () => fetch(url, { headers: { accept: "application/json" } }),
  undici: async () => (await load("undici")).request(url),
  axios: async () =>
    (await load("axios")).default.get(url, { headers: { Authorization: `Bearer ${"a1B2".repeat(60)}` } }),
  got: async () => (await load("got")).default(url),
  "e2b-js": async () => {
    const { Sandbox } = await load("e2b");
    const sandbox = new Sandbox({
      sandboxId: "i1a2b3c4d5e6f7",
      envdVersion: "0.4.0",
      envdAccessToken: "ea_0f1e2d3c4b5a69788796a5b4c3d2e1f0",
      sandboxUrl: url,
      apiKey: "e2b_0123456789012345678901234567890123456789",
    });
    await sandbox.files.read("/home/user/a.txt");
  },
  "mcp-js": async () => {
    const { Client } = await load("@modelcontextprotocol/sdk/client/index.js");
    const { StreamableHTTPClientTransport } = await load(
      "@modelcontextprotocol/sdk/client/streamableHttp.js",
    );
    const client = new Client({ name: "agent", version: "1.0.0" });
    await client.connect(
      new StreamableHTTPClientTransport(new URL(url), {
        requestInit: { headers: { Authorization: `Bearer ${"k".repeat(48)}` } },
      }),
    );
  },
  "traced-fetch": () =>
    fetch(url, {
      method: "POST",
      body: "{}",
      headers: {
        "content-type": "application/json",
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        tracestate: "vendor=00f067aa0ba902b7",
        baggage: "userId=alice,serverNode=DF%2028,isProduction=false",
        "x-request-id": "5b1f0c2e-6a0e-4f5f-9f7e-2f6f0b7c1d2e",
      },
    }),
};
await clients[name]();
