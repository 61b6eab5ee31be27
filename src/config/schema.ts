import { z } from "zod";
import {
  address,
  bool,
  certificateName,
  cidrText,
  domainName,
  filePath,
  headerName,
  int,
  ipAddress,
  interfaceName,
  list,
  live,
  namespaceName,
  optionalAddress,
  optionalFilePath,
  optionalIpAddress,
  optionalIssuer,
  peerAddress,
  resourceList,
  secret,
  text,
  webOrigin,
} from "./field-types.ts";
import { hostTemplate } from "./host-template.ts";
import { parseListenAddress } from "./listen-address.ts";

/*
 * One schema for flags, environment, file and defaults (docs/architecture.md#configuration). A key's other names follow from
 * it by rule (settings.ts). Descriptions are the reference manual: first sentence what it does (it stands in --help), then
 * interaction and danger. Type, range, unit, default and whether a reload changes it are not repeated: they are generated from
 * the schema.
 */

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const MIB = 1024 * 1024;

const watch = z.strictObject({
  list: z
    .enum(["stream", "paged"])
    .default("stream")
    .describe(
      "How whole lists are read. `stream`: as the first events of a watch (WatchList, Kubernetes 1.34 or newer, or 1.32), which spares the API server memory; where the server can't do that, in pages. `paged`: always in pages. Kubernetes before 1.27 does not say that it can't: with `stream` the first list takes half a minute longer there.",
    ),
  pageSize: int(
    1,
    10_000,
    500,
    "Objects per page of a list. Smaller pages cost the API server less memory at once and more requests.",
  ),
  stallTimeoutMs: int(
    SECOND_MS,
    HOUR_MS,
    90_000,
    "A watch that delivers nothing for so long, not even a bookmark, is cut and begun again. API servers send a bookmark about once a minute: below 60000 healthy watches are cut.",
  ),
  checkIntervalMs: int(
    SECOND_MS,
    HOUR_MS,
    60_000,
    "How often the API server is asked for its present version (a list of one object) while a watch is open; it is asked after each reconnect too. A version below the last one seen shows that the cluster was restored from a backup, of which no watch tells. Longer: a restore that breaks no connection is noticed later. Shorter costs a request each time.",
  ),
  staleAfterMs: int(
    SECOND_MS,
    DAY_MS,
    180_000,
    "When the API server was not heard for so long, `/readyz` says that the table is stale. What it knows is served on without a limit of time. API servers send a bookmark about once a minute: below 90000 a quiet cluster is called stale.",
  ),
  readyWhenStale: bool(
    true,
    "Stay ready while the table is stale. Off, a router that can't hear its API server gets no traffic from load balancers: for one that is cut off alone; when the API server itself is away, all routers are not ready at once.",
  ),
  backoffMinMs: int(
    1,
    10 * MINUTE_MS,
    800,
    "Wait before the first retry after the API server failed; it doubles with each failure, with jitter. Must not be above `watch.backoffMaxMs`. A server that is away (no connection, 503, 429) is tried each second instead, or when its `Retry-After` says.",
  ),
  backoffMaxMs: int(
    1,
    HOUR_MS,
    30_000,
    "Longest wait between retries of the API server. While it is away the routes already known are served.",
  ),
});

const target = z.strictObject({
  domains: list(
    "domain",
    domainName,
    1000,
    "Domains that a Host `<port>-<id>.<domain>` may end in: `example.com` allows `3000-a.example.com` and `3000-a.eu.example.com`. Empty accepts every domain, as the OpenKruise gateway does. Header, path and template targets are not affected.",
  ),
  sandboxHeader: headerName(
    "e2b-sandbox-id",
    false,
    "Request header that names the sandbox by its ID; it wins over the Host. The headers of the kubernetes-sigs router (`x-sandbox-id`, `x-sandbox-namespace`, `x-sandbox-port`) are read after it in any case.",
  ),
  portHeader: headerName(
    "e2b-sandbox-port",
    false,
    "Request header that gives the port beside `target.sandboxHeader`. A request without it gets `target.defaultPort`.",
  ),
  hostHeader: headerName(
    "",
    true,
    "Request header that, when present, is read in place of Host to find the sandbox, for a load balancer that rewrites Host. Empty: only Host is read. Set it only behind a proxy that always sets or removes this header: a client could name any sandbox with it.",
  ),
  defaultPort: int(
    1,
    65_535,
    49_983,
    "Port of a sandbox that `target.sandboxHeader` or a template names without a port. 49983 is the port of the sandbox runtime (envd).",
  ),
  pathPrefix: text(
    "path",
    "/kruise",
    /^(\/[\w.~-]+)*$/,
    "empty, or a path such as /kruise without a slash at its end",
    "Paths `<prefix>/<id>/<port>/<rest>` name the sandbox and are sent on as `/<rest>`; they win over header and Host. Empty turns path targets off.",
  ),
  templates: list(
    "host template",
    hostTemplate,
    100,
    "Further shapes of Host, tried in order after `<port>-<id>.<domain>`: for instance `{name}.{namespace}.actors.resources.substrate.ate.dev`. Placeholders are `{id}` or `{name}` and `{namespace}`, and perhaps `{port}`; each stands for a label or a part of one, and `:80` at the end gives the port.",
  ),
  maskHost: text(
    "host",
    "",
    /^$|^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:(\{port\}|[1-9][0-9]{0,4}))?$/,
    "empty, or a host with or without a port, such as localhost:{port}",
    "Host that pods get in place of the client's, with `{port}` for the sandbox's port; `X-Forwarded-Host` still tells the client's. Development servers (Vite, Next, webpack, Django) refuse names that they do not know: `localhost:{port}` is what they take. An application that makes links or redirects from Host alone makes them for this one. Empty: the client's Host.",
  ),
  strict: bool(
    false,
    "Refuse a request (400) whose path, header and Host name different sandboxes. Off, the first of them wins.",
  ),
});

const auth = z.strictObject({
  accessToken: bool(
    false,
    "Ask for the sandbox's access token on each request to a sandbox that has one; without it the reply is 401, before anything about the sandbox is told. A sandbox without a token stays open.",
  ),
  accessTokenHeader: headerName(
    "x-access-token",
    false,
    "Request header that carries the access token. To which ports it is passed on says `auth.forwardAccessToken`.",
  ),
  forwardAccessToken: z
    .enum(["runtime", "always"])
    .default("runtime")
    .describe(
      "To which ports of a sandbox `auth.accessTokenHeader` is passed on where the router asks for it: with `auth.accessToken`, and at private ports of a sandbox that has a token. `runtime`: to 49983 alone, whose program (envd) compares it too; what runs on other ports would learn a token that opens them all. `always`: to every port, as the OpenKruise gateway does. Elsewhere it is a header like any other.",
    ),
  jwtIssuer: optionalIssuer(
    "OpenID issuer whose JWTs let requests pass to sandboxes that ask for one (OpenKruise's annotation `security.agents.kruise.io/enable-jwt-auth`), as the tokens have it in `iss`. Its keys are found by discovery (`/.well-known/openid-configuration`) and read again every `auth.jwtRefreshMs`; while it is away the last ones stay in force. Empty: such sandboxes get 503 (`jwt_verifier_not_ready`).",
  ),
  jwtHeader: headerName(
    "e2b-traffic-access-token",
    false,
    "Request header that carries the JWT. With `auth.jwtIssuer` it is never passed on to a sandbox.",
  ),
  jwtCaFile: optionalFilePath(
    "File with the CA certificates, in PEM, that the issuer's certificate must be signed by. Empty: those that Node trusts. Read once, at the start.",
  ),
  jwtSkewMs: int(
    0,
    10 * MINUTE_MS,
    60_000,
    "How far the issuer's clock may be from this router's. A JWT counts for so much longer.",
  ),
  jwtRefreshMs: int(
    10 * SECOND_MS,
    DAY_MS,
    300_000,
    "Wait between two reads of the issuer's keys. A key that the issuer has withdrawn is taken for so long. A JWT with a key that is not known makes them be read sooner, at most every 10 seconds.",
  ),
});

const access = z.strictObject({
  default: z
    .enum(["open", "private"])
    .default("open")
    .describe(
      "Whether sandboxes that do not say so by the annotation `lychgate.dev/access` (`open`, `private` or `private-ports=8080,…`) are open to everybody. A private port asks for the sandbox's access token, a preview link or a valid JWT; without one the reply is 401 (`sandbox_private`). `private` leaves out port 49983, whose program (envd) asks for a token itself.",
    ),
  previewKeyFiles: list(
    "path",
    filePath,
    4,
    "Files with the keys that sign preview links (`lychgate preview`), one each: 32 to 512 printable ASCII characters. Each is taken, so that keys can be rotated; the first signs. Read again every 5 seconds: links of a key whose file is deleted are void. All replicas need the same. Empty: there are no preview links.",
  ),
  previewOrigins: list(
    "origin",
    webOrigin,
    100,
    "Origins of pages, such as `https://app.example.com`, that may do more than look in a sandbox that their visitor has a preview cookie for: requests other than GET, HEAD and OPTIONS, and WebSockets. A sandbox's own pages always may. Name only what you trust with every sandbox.",
  ),
  previewMaxMs: int(MINUTE_MS, 365 * DAY_MS, 7 * DAY_MS, "Longest time for which a preview link is made."),
  allowFrom: list(
    "CIDR",
    cidrText,
    1000,
    "Addresses of clients that may ask for sandboxes; others get 403 (`address_not_allowed`). Empty: all. It is the address of the connection that counts, or with `client.trustForwarded` the last in `X-Forwarded-For`.",
  ),
  maxRequestsPerSecondPerClient: int(
    0,
    1_000_000,
    0,
    "Requests that one client address (IPv6: its /64) may send in a second, to whatever sandbox; a second's worth may come at once. Above, the reply is 429 (`rate_limited`). Counted in each process by itself. 0: no limit, and right for a router whose clients all come through one address.",
  ),
  maxRequestsPerSecondPerSandbox: int(
    0,
    1_000_000,
    0,
    "The same for requests that may pass to one sandbox, whoever sends them. 0: no limit.",
  ),
});

const upstream = z.strictObject({
  connectTimeoutMs: int(
    1,
    10 * MINUTE_MS,
    3000,
    "Longest wait for a TCP connection to a pod; then the reply is 504.",
  ),
  refusedGraceMs: int(
    0,
    MINUTE_MS,
    2_000,
    "How long a request waits for a port of a young sandbox on which nothing listens yet (`upstream.youngMs`): its program may just be starting. Then, and for older sandboxes at once, the reply is 502 (`upstream_refused`). 0: no request waits.",
  ),
  youngMs: int(
    0,
    HOUR_MS,
    10_000,
    "A sandbox is young for so long after it became ready, by the time that its object says. Clocks that differ by more than that make young ones of none, or of more.",
  ),
  firstByteTimeoutMs: int(
    1,
    DAY_MS,
    600_000,
    "Longest wait for the head of a pod's response, all of it, after the request was sent; then the reply is 504. Long polls need more than their poll time.",
  ),
  idleTimeoutMs: int(
    1,
    DAY_MS,
    600_000,
    "Longest silence within a request, a response or a WebSocket, both directions counted; then both sides are cut, or the reply is 408 or 504 if none has begun. Streams of any length live as long as they move. A client that does not read is silent too.",
  ),
  keepAliveTimeoutMs: int(
    1,
    HOUR_MS,
    60_000,
    "How long an idle connection to a pod is kept for the next request. It is closed earlier when the sandbox's life there ends, or when the pod's `Keep-Alive: timeout=` asks for it.",
  ),
  maxConnectionsPerSandbox: live(
    int(
      1,
      65_535,
      256,
      "Connections to one sandbox at a time, WebSockets not counted; requests above wait for a free one.",
    ),
  ),
  maxTunnelsPerSandbox: live(
    int(
      1,
      65_535,
      1024,
      "WebSockets and other upgraded connections to one sandbox at a time; more get 503 (`overloaded`).",
    ),
  ),
  maxWaitingPerSandbox: live(
    int(
      0,
      65_535,
      256,
      "Requests that may wait for a connection to one sandbox; more get 503 (`overloaded`) at once.",
    ),
  ),
  waitTimeoutMs: live(
    int(
      1,
      10 * MINUTE_MS,
      10_000,
      "Longest wait for a connection to a sandbox whose connections are all in use; then the reply is 503 (`overloaded`).",
    ),
  ),
  clientSharePercent: int(
    1,
    100,
    50,
    "How much of one sandbox's connections (`upstream.maxConnectionsPerSandbox`), of its tunnels and of its waiting places one client address may have. Requests above wait, or get 503 (`overloaded`), while others are served. IPv6 clients share by /64; with `client.trustForwarded` the client is the last address in `X-Forwarded-For`. 100: no share, for a router whose clients all come through one address that forwards nothing of them.",
  ),
  maxPools: int(
    1,
    1_000_000,
    10_000,
    "Sandboxes whose idle connections are kept. Above, the longest unused are closed first; requests under way are not touched.",
  ),
});

const client = z.strictObject({
  headerTimeoutMs: int(
    1,
    HOUR_MS,
    10_000,
    "Longest time a client may take to send a request's headers, from the first byte to the last; then the reply is 408. Guards against slow-header attacks. A new connection that sends nothing is closed after the same time.",
  ),
  keepAliveTimeoutMs: int(
    1,
    HOUR_MS,
    75_000,
    "How long an idle client connection is kept. Keep it above the idle timeout of a load balancer in front, or that will send requests into connections that are just closing.",
  ),
  maxHeaderBytes: int(
    1024,
    1024 * 1024,
    65_536,
    "Size of a request's line and headers together; above, the reply is 431. Memory per connection may reach this.",
  ),
  maxConnections: live(
    int(
      1,
      1_000_000,
      20_000,
      "Client connections at a time; more are told 503 (`overloaded`) and closed. Each needs up to two open files: where the process's limit (`ulimit -n`) is too low for that, fewer are taken, and the log says how many.",
    ),
  ),
  maxConnectionsPerAddress: live(
    int(
      0,
      1_000_000,
      10_000,
      "Connections from one client address at a time; more are told 503 (`overloaded`) and closed. 0: no limit, for a router whose clients all come through one load balancer.",
    ),
  ),
  maxRequestsPerConnection: int(
    0,
    1_000_000_000,
    100_000,
    "Requests on one client connection; the last is answered with `Connection: close`, so that clients spread anew over workers and replicas. 0: no limit.",
  ),
  errorPageFile: optionalFilePath(
    "HTML file to show to a browser that opens a page and gets a reply of the router's own, in place of the built-in page. `{{title}}`, `{{what}}` and `{{advice}}` are filled in, and `{{reason}}`, `{{status}}`, `{{message}}`, `{{sandbox}}`, `{{port}}` and `{{requestId}}`, all escaped; another name ends the start. At most 256 KiB. It is sent from the sandbox's own origin: let it load nothing from a Host that is a sandbox.",
  ),
  minUploadBytesPerSecond: int(
    0,
    1_000_000,
    240,
    "Least rate of a request body, averaged over `client.slowClientWindowMs`, while the pod waits for it. A slower client gets 408 (`client_too_slow`) and is closed. Uploads that the pod answers while they run are not held to it, nor are WebSockets. 0: no limit, for clients that keep an upload open and rarely send.",
  ),
  minDownloadBytesPerSecond: int(
    0,
    1_000_000,
    240,
    "Least rate at which a client takes an answer: what waits for it must be gone within `client.slowClientWindowMs` and the time that its bytes may take at this rate; else it is reset. A client for which nothing waits is never slow, so event streams and long polls may be silent. WebSockets are not held to it. 0: no limit.",
  ),
  slowClientWindowMs: int(
    SECOND_MS,
    HOUR_MS,
    60_000,
    "Stall that a client on a bad line is forgiven, and the time over which both least rates are averaged. Below 30000 a phone that changes its network may be cut.",
  ),
  smallBodyBytes: int(
    0,
    1024 * 1024,
    16_384,
    "A request body whose Content-Length is at most this is read whole before a connection to the pod is taken, so that a client that sends slowly holds none. Longer bodies, and those without a length, are streamed. At most 32 MiB per process are held; above, small bodies are streamed too. 0: all are.",
  ),
  proxyProtocol: list(
    "CIDR",
    cidrText,
    1000,
    "Addresses of load balancers whose connections begin with a PROXY protocol header, version 1 or 2, before TLS too. The client's address is then the one that the header names: for `X-Forwarded-For`, the limits per address and the access log. From these addresses the header is required, from others it is refused (400, `proxy_protocol`): else any client could claim to be another. Empty: from none.",
  ),
  sharedReadBuffer: z
    .enum(["auto", "on", "off"])
    .default("auto")
    .describe(
      "Read from all clients into one buffer, and write to sockets without Node's streams while the kernel takes all at once. It saves about a fifth of the CPU per small request, and it is the one place where Lychgate uses Node APIs that are not documented. `auto`: a router tries on loopback connections, before it listens, what its Node can do, and takes the documented way for the rest. `on`: the same, and a warning says what is missing. `off`: the documented way alone.",
    ),
  trustForwarded: bool(
    false,
    "Keep the `X-Forwarded-*`, `Forwarded`, `X-Real-IP` and like headers that clients send, and append to `X-Forwarded-For`. Off, what a client claims is dropped and set anew. Turn it on only where every client is a proxy that tells the truth: a pod would believe anyone else.",
  ),
});

const tls = z.strictObject({
  listen: optionalAddress(
    "Address of a second listener for traffic, which speaks TLS, for instance `:7443`. Needs `tls.certFiles` and `tls.keyFiles`. Empty: none. The plain listener (`listen`) stays.",
  ),
  certFiles: list(
    "path",
    filePath,
    100,
    "Files with the certificates of the TLS listener, each with its chain, in PEM. A client gets the first that has the name it asks for (SNI), else the first whose wildcard covers it, else the first of all. Certificates, keys and `tls.clientCaFile` are read again every 5 seconds and on SIGHUP; open connections stay. A pair that is of no use leaves the one before in force, and the log says so.",
  ),
  keyFiles: list(
    "path",
    filePath,
    100,
    "Files with the keys of `tls.certFiles`, in PEM and in the same order.",
  ),
  minVersion: z
    .enum(["TLSv1.2", "TLSv1.3"])
    .default("TLSv1.2")
    .describe("Oldest version of TLS that is spoken. Ciphers without forward secrecy are never taken."),
  clientAuth: z
    .enum(["off", "optional", "required"])
    .default("off")
    .describe(
      "Certificates of clients. `off`: none is asked for. `optional`: one is asked for, and one that `tls.clientCaFile` has not signed, or that has expired, is refused (403). `required`: a client without one is refused too.",
    ),
  clientCaFile: optionalFilePath(
    "File with the CA certificates that sign the certificates of clients, in PEM. When it changes, session tickets that were given out before are void.",
  ),
  handshakeTimeoutMs: int(
    100,
    10 * MINUTE_MS,
    10_000,
    "Longest time from a connection's begin to the end of its TLS handshake; then it is closed.",
  ),
  maxHandshakes: int(
    1,
    1_000_000,
    1000,
    "TLS handshakes under way at a time, in each process that serves; above, the oldest is closed. Each may wait for a slow client, so it must cover the round trip of all that connect at once.",
  ),
  ticketLifetimeMs: int(
    SECOND_MS,
    7 * DAY_MS,
    6 * HOUR_MS,
    "How long a session ticket is good, with which a client that comes again spares both sides the signature. The key that seals tickets is replaced as often and is taken for twice as long; all workers share it. Longer: whoever gets hold of the key can read more.",
  ),
  redirect: bool(
    false,
    "Answer requests that come without TLS with 308 and the same URL with `https`. With `client.trustForwarded` those whose `X-Forwarded-Proto` is `https` are served. The peer and the admin port have nothing to do with it.",
  ),
  redirectPort: int(
    1,
    65_535,
    443,
    "Port in the URLs of `tls.redirect`: the one that clients reach, which may be another than that of `tls.listen`.",
  ),
});

const http2 = z.strictObject({
  enabled: bool(
    true,
    "Speak HTTP/2 with clients: where a TLS client asks for it by ALPN, and on the plain port with those that begin with it (prior knowledge). Off, the latter get 505 (`http2_on_plain_port`). To pods HTTP/1.1 is spoken in either case.",
  ),
  maxConcurrentStreams: int(
    1,
    10_000,
    100,
    "Requests that a client may have under way on one HTTP/2 connection (SETTINGS_MAX_CONCURRENT_STREAMS); those above are refused, and clients wait or open another connection. Below 100 clients that expect that many get slower. Memory per connection may reach this times `http2.streamWindowBytes`.",
  ),
  streamWindowBytes: int(
    65_535,
    16 * 1024 * 1024,
    262_144,
    "What a client may send of one HTTP/2 request's body before the pod has taken it (SETTINGS_INITIAL_WINDOW_SIZE): the memory that a slow pod costs per request. An upload is no faster than this per round trip: 262144 is 2.6 MB/s at 100 ms.",
  ),
  connectionWindowBytes: int(
    65_535,
    64 * 1024 * 1024,
    1024 * 1024,
    "What a client may have on its way of all bodies of one HTTP/2 connection together. One request's window is the narrower limit; a pod that takes nothing does not use up this one.",
  ),
});

const peers = z.strictObject({
  trust: z
    .enum(["verify", "serve"])
    .default("verify")
    .describe(
      "What a push is worth whose sender did not prove who it is. `verify`: it is a rumour; the sandbox is read from the API server, and requests for it wait until that is done (some milliseconds). `serve`: it takes effect at once, for peers that can't lie. With `source: none` nothing can be read, and pushes take effect at once. What an informer with `selector` does not show waits for a read in any case.",
    ),
  trustProven: z
    .enum(["serve", "verify"])
    .default("serve")
    .describe(
      "What a push is worth whose sender proved who it is, by HMAC or by its certificate: as with `peers.trust`.",
    ),
  require: z
    .enum(["none", "hmac", "mtls"])
    .default("none")
    .describe(
      "The proof that every push must bring; without it, it gets 401 and changes nothing. `none`: a push needs no proof, and one that has a right one is proven all the same. `hmac`: a signature with a key of `peers.hmacKeyFiles`. `mtls`: a certificate that `peers.tlsCaFile` has signed and `peers.tlsNames` lists. OpenKruise's managers can give neither.",
    ),
  hmacKeyFiles: list(
    "path",
    filePath,
    2,
    "Files with the keys that sign pushes, one each: 32 to 512 printable ASCII characters. Either is taken, so that keys can be rotated; the first signs. Read again every 5 seconds. A key whose file is deleted is taken no more.",
  ),
  hmacWindowMs: int(
    SECOND_MS,
    10 * MINUTE_MS,
    30_000,
    "How far the time in a signature may be from this router's clock, before or after. It must cover the difference of the clocks and the time on the way; for twice as long the router remembers which signatures it has seen.",
  ),
  tlsCertFile: optionalFilePath(
    "File with the certificate of the peer port and its chain, in PEM. With it the port speaks TLS and, to whoever does not, plain HTTP: probes need no change. Needs `peers.tlsKeyFile`, `peers.tlsCaFile` and `peers.tlsNames`. All three files are read again every 5 seconds; open connections stay.",
  ),
  tlsKeyFile: optionalFilePath("File with the key of `peers.tlsCertFile`, in PEM."),
  tlsCaFile: optionalFilePath(
    "File with the CA certificates that sign the certificates of peers, in PEM. Others prove nothing.",
  ),
  tlsNames: list(
    "name",
    certificateName,
    1000,
    "Names of certificates that may push: DNS names and SPIFFE IDs. `*.managers.svc` allows any first label, `spiffe://cluster.local/ns/*/sa/manager` any segment; `*` stands for exactly one. With `peers.require: mtls` others get 403.",
  ),
  settleMs: int(
    0,
    MINUTE_MS,
    500,
    "Longest time for which requests wait until a push is verified. When it is over, a sandbox whose deletion was pushed is not served; what becomes of an update says `peers.unsettled`.",
  ),
  maxHeldRequests: int(
    0,
    1_000_000,
    1000,
    "Requests that wait at a time until a push is verified, in each process that serves; more get 503 (`overloaded`).",
  ),
  unsettled: z
    .enum(["hold", "serve"])
    .default("hold")
    .describe(
      "What becomes of a pushed update that can't be verified within `peers.settleMs` since the API server does not answer. `hold`: it waits until the API server answers, and a sandbox that ended or moved by it, or whose pod IP another has by it, is not served (502, `sandbox_in_doubt`). `serve`: the update takes effect, true or not.",
    ),
  maxReads: int(
    1,
    1000,
    16,
    "Reads of the API server under way at a time to verify pushes. When very many wait, one list of their namespace takes the place of their reads.",
  ),
  maxAheadHours: int(
    0,
    8760,
    12,
    "A push whose resourceVersion is further ahead than the cluster moves in so many hours is refused, since nobody can have seen it yet; up to ten million versions are believed in any case. 0 believes any.",
  ),
  hintTtlMs: int(
    SECOND_MS,
    HOUR_MS,
    60_000,
    "How long an update that a peer pushed is believed when a live watch does not confirm it. Bounds the harm of a wrong push. While the watch is down nothing expires.",
  ),
  maxHints: int(
    1,
    10_000_000,
    200_000,
    "Pushed updates that wait for the watch at a time; above, the oldest is dropped and counted.",
  ),
  allowFrom: list(
    "CIDR",
    cidrText,
    1000,
    "Addresses that may push (`POST /refresh`): those of the sandbox-managers and of other replicas. Others get 403 and are counted (`forbidden`). Empty: whoever reaches the port. Health checks are answered to all. It is the address of the connection that counts: behind a proxy, the proxy's.",
  ),
  maxPushesPerSecond: int(
    0,
    1_000_000,
    1_000,
    "Pushes that one address may send in a second; above, a push gets 429 unread and is counted (`rate_limited`). A second's worth may come at once. Keeps one sender from taking the CPU that serves traffic: a push costs about 60 µs. 0: no limit.",
  ),
  maxPushBytesPerSecond: int(
    0,
    2 ** 31 - 1,
    4 * MIB,
    "Bytes of pushes that one address may send in a second; above, as with `peers.maxPushesPerSecond`. 0: no limit.",
  ),
  maxTotalPushesPerSecond: int(
    0,
    1_000_000,
    4_000,
    "Pushes that all addresses together may send in a second; above, a push gets 503 unread and is counted (`overloaded`). Managers try again after a 503. 0: no limit.",
  ),
  maxTotalPushBytesPerSecond: int(
    0,
    2 ** 31 - 1,
    8 * MIB,
    "Bytes of pushes that all addresses together may send in a second; above, as with `peers.maxTotalPushesPerSecond`. 0: no limit.",
  ),
  maxConnections: int(
    16,
    65_535,
    1024,
    "Connections to the peer port at a time. A newer one is always taken, so that probes are answered while the port is flooded: for it, the connection without use for longest of the address that has most is closed. Keep it above the number of managers and routers that keep a connection.",
  ),
  maxConnectionsPerAddress: int(8, 65_535, 512, "The same for connections from one address."),
});

const memberlist = z.strictObject({
  enabled: bool(
    false,
    "Take part in the memberlist by which OpenKruise's managers find the gateways that they push to. The port, UDP and TCP, must be reachable for managers and other routers.",
  ),
  listen: address(
    ":7946",
    "Address for other members, UDP and TCP. Without a host: all IPv4 interfaces, or all interfaces when an IPv6 address is advertised. Only addresses of `peers.allowFrom` can take part. Without that and `memberlist.keyFile`, whoever reaches the port can: keep it inside the cluster.",
  ),
  advertiseAddress: optionalIpAddress(
    "IP address where the others reach this router; set it from `status.podIP`. Empty: the host of `memberlist.listen`, else the machine's first address that is not loopback.",
  ),
  name: text(
    "name",
    "",
    /^[^\p{Cc}]{0,63}$/u,
    "a name of at most 63 characters",
    "Name of this member, unique among all. Empty: `sg-` and the host name, as the OpenKruise gateway has it.",
  ),
  join: list(
    "address",
    peerAddress,
    100,
    "Members to join through, for ever: `10.0.0.7`, `managers.example.com:7946` (all its addresses), or a service record such as `_memberlist._tcp.managers.example.com`. Port 7946 where none is given.",
  ),
  podNamespace: text(
    "namespace",
    "",
    /^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$/,
    "the name of a namespace",
    "Namespace whose pods are joined too, as OpenKruise's gateway does with `sandbox-system`. Needs the right to list pods there. Empty: none.",
  ),
  podSelector: text(
    "label selector",
    "component=sandbox-manager",
    /^[^\p{Cc}]{0,4096}$/u,
    "a label selector",
    "Label selector for the pods of `memberlist.podNamespace`. A pod's annotation `agents.kruise.io/memberlist-url` stands for its IP and port 7946.",
  ),
  label: text(
    "label",
    "",
    /^[\x20-\x7e]{0,255}$/,
    "at most 255 printable ASCII characters",
    "Label that all members of one cluster share; packets with another are refused. OpenKruise's managers have none.",
  ),
  keyFile: text(
    "path",
    "",
    // oxlint-disable-next-line no-control-regex -- a path may hold anything but NUL
    /^[^\0]{0,4096}$/,
    "a path",
    "File with the keys that encrypt and prove what members say: one per line, 16, 24 or 32 bytes in base64. The first encrypts, all decrypt. Empty: everything is plain, as between OpenKruise's managers. Read once, at the start.",
  ),
  maxMembers: int(
    2,
    10_000,
    1000,
    "Members remembered at a time, dead ones included; others are refused and counted.",
  ),
});

const wake = z.strictObject({
  enabled: bool(
    false,
    'Wake a paused sandbox for a request, where its owner allows that: an OpenKruise Sandbox by `spec.autoPausePolicy.resume.onIngressTraffic`, one of kubernetes-sigs by the annotation `lychgate.dev/wake-on-traffic: "true"`. The request waits until the sandbox runs. Needs the right to patch Sandboxes (`deploy/components/wake`), and `source: kubernetes`.',
  ),
  timeoutMs: int(
    SECOND_MS,
    10 * MINUTE_MS,
    60_000,
    "How long a sandbox may take to run again, and so the longest that a request waits; then the reply is 503 (`wake_failed`). Load balancers in front must wait longer.",
  ),
  maxHeld: int(
    1,
    1_000_000,
    10_000,
    "Requests that wait at a time, in each process; more are refused (503, `overloaded`). Each holds a client connection and at most 64 KiB of its body.",
  ),
  maxHeldPerSandbox: int(1, 1_000_000, 1_000, "The same for one sandbox."),
  maxHeldPerAddress: int(
    0,
    1_000_000,
    1_000,
    "The same for one client address. 0: no limit, for a router whose clients all come through one load balancer.",
  ),
  pageAfterMs: int(
    0,
    10 * MINUTE_MS,
    0,
    "When a browser that opens a page gets one that says so and asks again (503, `sandbox_waking`), while its sandbox is woken. 0: it waits as others do.",
  ),
  maxAttempts: int(
    1,
    1_000,
    32,
    "Requests to the API server that wake sandboxes, at a time. When very many sandboxes are woken at once, more of them wake sooner and cost the API server more.",
  ),
});

const tombstones = z.strictObject({
  ttlMs: int(
    SECOND_MS,
    DAY_MS,
    600_000,
    "How long a pushed deletion that the watch does not confirm is remembered. With `source: none` it is all that keeps a late push from reviving a dead route: keep it well above the longest time a push may be under way.",
  ),
  max: int(
    1,
    10_000_000,
    100_000,
    "Deletions remembered at a time; above, the oldest is forgotten early and counted, since a late push could then revive its route.",
  ),
});

const routes = z.strictObject({
  onePodPerIp: bool(
    true,
    "Two running sandboxes with one pod IP: only the one that surely took it later is served, or neither. Turn it off only where pods share their node's network (`hostNetwork`); then an address that changed hands is not noticed.",
  ),
  podCidrs: list(
    "CIDR",
    cidrText,
    1000,
    "CIDRs that pods have their IPs from; a sandbox with another IP is not served (`pod_ip_not_allowed`). Empty: every IP but special ones, which are loopback, unspecified, link-local, multicast, broadcast, documentation, IPv6 addresses that stand for an IPv4 one, cloud metadata services and the router's own. A special range is allowed by an entry that lies within it (`127.0.0.0/8`; `0.0.0.0/0` does not allow it), one of the router's own addresses by an entry for that address alone: where sandboxes use `hostNetwork` on the router's node.",
  ),
});

const antiEntropy = z.strictObject({
  enabled: bool(
    false,
    "Compare the routes of this router with those of other replicas, and learn from them what it missed: pushes that were lost, and what their watch delivered while its own is behind. What is learned is worth what a push is (`peers.trust`). Replicas tell each other access tokens too, so `peers.allowFrom` must name who may ask.",
  ),
  peers: list(
    "peer",
    peerAddress,
    100,
    "Other replicas: addresses, names (all their A and AAAA records) or service records (`_peers._tcp.…`), without a port that of `antiEntropy.port`. A headless Service's name finds all replicas; this router itself among them does no harm. Members of the memberlist whose names begin with `sg-` are added.",
  ),
  port: int(1, 65_535, 7789, "Peer port of the replicas that are given without one."),
  takeSnapshots: bool(
    false,
    "At a start, serve the snapshot of another replica while the API server is away, as `snapshot.path` does with this router's own (`snapshot.loadAfterMs` and `snapshot.ready` count for it). The router's own file is taken first. What the other says is believed, whatever `peers.trust` is, until the API server has given its list.",
  ),
  intervalMs: int(
    SECOND_MS,
    HOUR_MS,
    10_000,
    "Wait between two comparisons with each replica. One that finds nothing different costs a request of about 2 KB.",
  ),
});

const snapshot = z.strictObject({
  path: text(
    "path",
    "",
    // oxlint-disable-next-line no-control-regex -- a path may hold anything but NUL
    /^(\/[^\0]{0,4000})?$/,
    "empty, or an absolute path",
    "File in which the router keeps what it knows, for a start while the API server is away; empty: none. It holds the sandboxes' access tokens, and is written with mode 0600: keep it on a disk that only the router's user reads. Each router needs a file of its own. The folder above its folder must exist.",
  ),
  intervalMs: int(
    SECOND_MS,
    DAY_MS,
    30_000,
    "Wait between two snapshots; when nothing has changed, none is written. One more is written at the end of the drain. A snapshot has about 500 bytes for each sandbox.",
  ),
  loadAfterMs: int(
    0,
    10 * MINUTE_MS,
    2000,
    "How long a router that starts waits for the API server's first list; then it serves the snapshot, marked as old, until the list is in. Below the time that a first list takes, every start serves the snapshot for a moment.",
  ),
  ready: bool(
    true,
    "Be ready while the routes are those of a snapshot: `/readyz` says 200 and names the snapshot's age. Off, it says 503 until the first list is in; requests that come all the same are served.",
  ),
});

const admin = z.strictObject({
  token: live(
    secret(
      "",
      "Bearer token that the admin port asks for on everything but `/healthz` and the status page's own files, which hold no data. Prometheus sends it with `authorization`; the status page asks for it; `lychgate top` and its like read it here. Better keep it in a file (`admin.tokenFile`): a flag shows in the process list. Empty: no login.",
    ),
  ),
  tokenFile: live(
    text(
      "path",
      "",
      // oxlint-disable-next-line no-control-regex -- a path may hold anything but NUL
      /^[^\0]{0,4096}$/,
      "a path",
      "File that holds the token in place of `admin.token`; space around it is left out. Read at the start and on each reload (SIGHUP).",
    ),
  ),
  hosts: live(
    list(
      "domain",
      domainName,
      100,
      "Names under which people open the admin port in a browser, such as `lychgate.example.com`. IP addresses, `localhost` and this machine's own name are always taken; other names are refused (403) where no token is asked for, so that no web page can read the routes through a name of its own (DNS rebinding). `/metrics` and `/healthz` take every name.",
    ),
  ),
  maxConnections: int(
    16,
    65_535,
    64,
    "Connections to the admin port at a time. A newer one is always taken, so that scrapes are answered while the port is flooded: for it, the connection without use for longest of the address that has most is closed.",
  ),
  maxConnectionsPerAddress: int(8, 65_535, 32, "The same for connections from one address."),
  historyFacts: live(
    int(
      0,
      5_000_000,
      50_000,
      "Facts that the history of all routes keeps together (who told the table what, and what came of it); above, the oldest go. Each takes about 400 bytes, so the default about 20 MB. 0: none.",
    ),
  ),
  historyFactsPerRoute: live(
    int(1, 10_000, 100, "Facts that the history keeps of one route; above, its oldest go."),
  ),
});

const node = z.strictObject({
  overlapMode: z
    .enum(["off", "warn", "strict"])
    .default("off")
    .describe(
      "Check where this node's kernel sends the cluster's CIDRs, as `lychgate node overlap` does: `warn` logs and counts what leaves by another interface than the default route's, `strict` also keeps the router from being ready meanwhile. Needs iproute2.",
    ),
  overlapCidrs: list(
    "CIDR",
    cidrText,
    1000,
    "CIDRs to check. Empty takes the /24 (IPv6: /64) around each pod IP that the route table holds.",
  ),
  overlapInterfaces: list(
    "interface",
    interfaceName,
    100,
    "Interfaces that are right beside the default route's, such as those of the CNI to the pods of this node; `lxc*` takes all that begin so.",
  ),
  overlapIntervalMs: int(
    SECOND_MS,
    HOUR_MS,
    30_000,
    "Wait between two checks. A check reads all rules and routes and asks the kernel for up to 128 addresses, about 3 ms each.",
  ),
});

const anycast = z.strictObject({
  addresses: list(
    "IP address",
    ipAddress,
    100,
    "Anycast addresses of this router itself: announced through BIRD 2 while it is ready, withdrawn as the first step of its drain. The host must have them, on `lo` for instance. For addresses that pods bind there is `lychgate node anycast run`.",
  ),
  birdSocket: text(
    "path",
    "/run/bird/bird.ctl",
    /^\/[^\r\n"]{0,100}$/,
    "an absolute path",
    "BIRD's control socket. This user must be allowed to write to it.",
  ),
  includeFile: text(
    "path",
    "/run/lychgate/router.conf",
    /^\/[^\r\n"]{0,4096}$/,
    "an absolute path",
    "File that BIRD's configuration includes and that this router alone writes. Keep it on a tmpfs: after a boot nothing may be announced that was announced before.",
  ),
});

const drain = z.strictObject({
  delayMs: live(
    int(
      0,
      10 * MINUTE_MS,
      5000,
      "After SIGTERM, readiness is off but requests are still accepted for so long, so that load balancers notice. Keep it above their health check interval.",
    ),
  ),
  timeoutMs: live(
    int(
      0,
      DAY_MS,
      30_000,
      "After `drain.delayMs`, requests and WebSockets under way get so long to end before they are cut. In Kubernetes set `terminationGracePeriodSeconds` above the sum of both.",
    ),
  ),
});

/** Sections of the schema, each with the line that introduces it in help and reference. */
export const SECTION_TITLES: Readonly<Record<string, string>> = {
  "": "General",
  watch: "Watching the API server",
  target: "From a request to its sandbox",
  auth: "Tokens of sandboxes",
  access: "Who may reach a sandbox",
  upstream: "Connections to pods",
  client: "Connections from clients",
  tls: "TLS for clients",
  http2: "HTTP/2",
  peers: "Pushes from peers",
  memberlist: "Finding peers by memberlist",
  wake: "Waking sandboxes",
  tombstones: "Remembered deletions",
  routes: "The route table",
  antiEntropy: "Comparing replicas",
  snapshot: "Snapshots",
  admin: "The admin port",
  node: "The node's routes",
  anycast: "The router's own anycast addresses",
  drain: "Shutting down",
};

/** The whole configuration. Objects are strict: an unknown key is an error. */
export const configSchema = z
  .strictObject({
    listen: address(
      ":7788",
      "Address for the traffic to sandboxes. Without a host: all interfaces. IPv6 in brackets; port 0 takes a free port.",
    ),
    peerListen: address(
      ":7789",
      "Address for peers (`POST /refresh`) and health checks (`/healthz`, `/readyz`). Whoever reaches it can push routes: keep it inside the cluster.",
    ),
    adminListen: address(
      "127.0.0.1:9902",
      "Address for the status page (`/`), `/metrics` and the API that explains (`/api/…`). It shows every route and changes nothing: before you open it to other hosts, set `admin.tokenFile` or keep it inside a trusted network.",
    ),
    source: z
      .enum(["kubernetes", "none"])
      .default("kubernetes")
      .describe(
        "Where routes come from: `kubernetes` watches Sandbox objects (and hears pushes), `none` knows only what peers push.",
      ),
    kubeconfig: text(
      "path",
      "",
      // oxlint-disable-next-line no-control-regex -- a path may hold anything but NUL
      /^[^\0]{0,4096}$/,
      "a path",
      "Kubeconfig file. Empty: `$KUBECONFIG`, else `~/.kube/config`, else the pod's service account.",
    ),
    context: text(
      "name",
      "",
      /^[^\p{Cc}]{0,253}$/u,
      "the name of a context",
      "Context within the kubeconfig. Empty: its current context.",
    ),
    resources: resourceList(
      "CRDs whose Sandboxes are watched and served: `agents.kruise.io` (OpenKruise Agents), `agents.x-k8s.io` (kubernetes-sigs/agent-sandbox, its API version v1beta1; older installations that serve v1alpha1 alone need `agents.x-k8s.io/v1alpha1`), or both. Each needs the rights `list` and `watch` on it. One that is not installed does not keep the other from being served. What peers push is always of `agents.kruise.io`.",
    ),
    namespace: list(
      "namespace",
      namespaceName,
      100,
      "Namespaces to watch. Empty watches all of them, which needs a ClusterRole; named ones need a Role in each.",
    ),
    selector: text(
      "label selector",
      "",
      /^[^\p{Cc}]{0,4096}$/u,
      "a label selector",
      "Label selector for Sandbox objects, as for `kubectl -l`. Empty takes all. A sandbox that stops matching is gone for the router.",
    ),
    accessLog: live(
      z
        .enum(["auto", "json", "text", "off"])
        .default("auto")
        .describe(
          "One line per request on standard output: `json`, `text`, `off`; `auto` is `text` on a terminal, else `json`. Query strings and tokens are never written.",
        ),
    ),
    workers: int(
      1,
      256,
      1,
      "Processes that serve traffic on one port. Above 1, one more process watches the API server, hears peers and streams routes to them. Limits of connections hold for each process by itself.",
    ),
    logLevel: live(
      z
        .enum(["debug", "info", "warn", "error"])
        .default("info")
        .describe("Least serious message that the operational log on standard error holds."),
    ),
    logFormat: z
      .enum(["auto", "json", "text"])
      .default("auto")
      .describe("Form of the operational log: `auto` is `text` on a terminal, else `json`."),
    watch: watch.prefault({}),
    target: target.prefault({}),
    auth: auth.prefault({}),
    access: access.prefault({}),
    upstream: upstream.prefault({}),
    client: client.prefault({}),
    tls: tls.prefault({}),
    http2: http2.prefault({}),
    peers: peers.prefault({}),
    memberlist: memberlist.prefault({}),
    wake: wake.prefault({}),
    tombstones: tombstones.prefault({}),
    routes: routes.prefault({}),
    antiEntropy: antiEntropy.prefault({}),
    snapshot: snapshot.prefault({}),
    admin: admin.prefault({}),
    node: node.prefault({}),
    anycast: anycast.prefault({}),
    drain: drain.prefault({}),
  })
  .superRefine((config, context) => {
    for (const { path, message, other } of conflicts(config)) {
      context.addIssue({ code: "custom", path: [...path], message, params: { other } });
    }
  });

/** A configuration as a person writes it: every key may be left out. */
export type ConfigInput = z.input<typeof configSchema>;

/** A complete, valid configuration. */
export type Config = Frozen<z.output<typeof configSchema>>;

type Frozen<T> = T extends readonly (infer Item)[]
  ? readonly Frozen<Item>[]
  : T extends object
    ? { readonly [Key in keyof T]: Frozen<T[Key]> }
    : T;

interface Conflict {
  readonly path: readonly string[];
  readonly message: string;
  /** The key that this one does not go with. */
  readonly other: string;
}

/** Settings that are each valid but not together. */
function* conflicts(config: z.output<typeof configSchema>): Generator<Conflict> {
  const listeners = ["listen", "peerListen", "adminListen"] as const;
  for (const [index, key] of listeners.entries()) {
    for (const other of listeners.slice(0, index)) {
      if (sameSocket(config[key], config[other])) {
        yield { path: [key], other, message: `must not be the address of ${other} (${config[other]})` };
      }
    }
  }
  const { memberlist } = config;
  if (memberlist.enabled) {
    for (const other of listeners) {
      if (sameSocket(memberlist.listen, config[other])) {
        const message = `must not be the address of ${other} (${config[other]})`;
        yield { path: ["memberlist", "listen"], other, message };
      }
    }
  }
  if (memberlist.podNamespace !== "" && config.source === "none") {
    const message = "must be empty with `source: none`: pods are listed by the API server";
    yield { path: ["memberlist", "podNamespace"], other: "source", message };
  }
  if (config.wake.enabled && config.source === "none") {
    const message = "must be off with `source: none`: sandboxes are woken by the API server";
    yield { path: ["wake", "enabled"], other: "source", message };
  }
  yield* tlsConflicts(config);
  yield* proofConflicts(config.peers);
  if (config.antiEntropy.enabled && config.peers.allowFrom.length === 0) {
    const other = "peers.allowFrom";
    const message = `needs ${other}: replicas tell each other routes with their access tokens`;
    yield { path: ["antiEntropy", "enabled"], other, message };
  }
  if (config.antiEntropy.enabled && config.peers.require !== "none") {
    const message = "does not go with a proof that is required: replicas do not prove who they are yet";
    yield { path: ["antiEntropy", "enabled"], other: "peers.require", message };
  }
  if (config.antiEntropy.enabled && config.antiEntropy.peers.length === 0 && !memberlist.enabled) {
    const message = "needs antiEntropy.peers or memberlist.enabled, to find other replicas";
    yield { path: ["antiEntropy", "enabled"], other: "antiEntropy.peers", message };
  }
  if (config.snapshot.path !== "" && config.source === "none") {
    const message = "must be empty with `source: none`: a snapshot is of what the API server said";
    yield { path: ["snapshot", "path"], other: "source", message };
  }
  const { backoffMinMs, backoffMaxMs } = config.watch;
  if (backoffMinMs > backoffMaxMs) {
    const other = "watch.backoffMaxMs";
    yield { path: ["watch", "backoffMinMs"], other, message: `must not be above ${other} (${backoffMaxMs})` };
  }
  if (config.admin.token !== "" && config.admin.tokenFile !== "") {
    const other = "admin.token";
    yield { path: ["admin", "tokenFile"], other, message: `must not be given together with ${other}` };
  }
  const headers = [
    { key: "target.sandboxHeader", name: config.target.sandboxHeader },
    { key: "target.portHeader", name: config.target.portHeader },
    { key: "target.hostHeader", name: config.target.hostHeader },
    { key: "auth.accessTokenHeader", name: config.auth.accessTokenHeader },
    { key: "auth.jwtHeader", name: config.auth.jwtHeader },
  ];
  for (const [index, { key, name }] of headers.entries()) {
    const other = headers.slice(0, index).find((earlier) => name !== "" && earlier.name === name)?.key;
    if (other)
      yield { path: key.split("."), other, message: `must not be the header of ${other} ("${name}")` };
  }
}

/** TLS needs certificates with a key each, and a port of its own. */
function* tlsConflicts(config: z.output<typeof configSchema>): Generator<Conflict> {
  const { listen, certFiles, keyFiles, clientAuth, clientCaFile, redirect } = config.tls;
  if (listen !== "") {
    for (const other of ["listen", "peerListen", "adminListen"] as const) {
      if (sameSocket(listen, config[other])) {
        const message = `must not be the address of ${other} (${config[other]})`;
        yield { path: ["tls", "listen"], other, message };
      }
    }
    if (certFiles.length === 0) {
      const message = "must name a certificate with `tls.listen`";
      yield { path: ["tls", "certFiles"], other: "tls.listen", message };
    }
  }
  if (certFiles.length !== keyFiles.length) {
    const message = `must have as many entries as tls.certFiles (${certFiles.length}), in the same order`;
    yield { path: ["tls", "keyFiles"], other: "tls.certFiles", message };
  }
  if (clientAuth !== "off" && clientCaFile === "") {
    const message = `must be given with \`tls.clientAuth: ${clientAuth}\``;
    yield { path: ["tls", "clientCaFile"], other: "tls.clientAuth", message };
  }
  if (clientAuth === "off" && clientCaFile !== "") {
    const message =
      "must be empty unless `tls.clientAuth` is optional or required: nobody is asked for a certificate";
    yield { path: ["tls", "clientCaFile"], other: "tls.clientAuth", message };
  }
  if (redirect && listen === "") {
    const message = "needs `tls.listen`";
    yield { path: ["tls", "redirect"], other: "tls.listen", message };
  }
}

/** A proof that is required must be possible, and half of a TLS is none. */
function* proofConflicts(config: z.output<typeof peers>): Generator<Conflict> {
  const { require, hmacKeyFiles, tlsNames } = config;
  if (require === "hmac" && hmacKeyFiles.length === 0) {
    const message = "must name a key with `peers.require: hmac`";
    yield { path: ["peers", "hmacKeyFiles"], other: "peers.require", message };
  }
  const files = ["tlsCertFile", "tlsKeyFile", "tlsCaFile"] as const;
  const given = files.find((key) => config[key] !== "");
  if (given === undefined && require !== "mtls" && tlsNames.length === 0) return;
  const other =
    given !== undefined ? `peers.${given}` : require === "mtls" ? "peers.require" : "peers.tlsNames";
  for (const key of files) {
    if (config[key] === "") yield { path: ["peers", key], other, message: `must be given with ${other}` };
  }
  if (tlsNames.length === 0) {
    const message = `must name who may push with ${other}: a CA signs for others too`;
    yield { path: ["peers", "tlsNames"], other, message };
  }
}

function sameSocket(one: string, two: string): boolean {
  const a = parseListenAddress(one);
  const b = parseListenAddress(two);
  if ("fault" in a || "fault" in b || a.port === 0 || a.port !== b.port) return false;
  return a.host === b.host || isWildcard(a.host) || isWildcard(b.host);
}

function isWildcard(host: string | undefined): boolean {
  return host === undefined || host === "0.0.0.0" || host === "::";
}
