import { chart } from "./charts.js";
import { h, keyed, setText, table } from "./dom.js";
import { bytes, count, duration, number } from "./format.js";

/** The states in the order of a sandbox's life, with their colors. */
const STATES = [
  ["running", "--good"],
  ["available", "--c5"],
  ["creating", "--c1"],
  ["paused", "--c6"],
  ["dead", "--c2"],
  ["ip_not_allowed", "--c3"],
  ["other", "--c4"],
];

/** The overview: what goes on. Returns what shows a status; `points` are all that are known. */
export function overview(section) {
  const tiles = [
    tile("requests / s", ({ now }) => [number(now.requestsPerSecond)]),
    tile(
      "failing / s",
      ({ now }) => [number(now.failuresPerSecond)],
      ({ now }) => now.failuresPerSecond > 0,
    ),
    tile("median latency", ({ now }) => split(duration(now.p50Ms))),
    tile("99 % within", ({ now }) => split(duration(now.p99Ms))),
    tile("in flight", ({ now }) => [
      count(now.inFlight),
      now.upgrades > 0 ? `+ ${count(now.upgrades)} upgraded` : "",
    ]),
    tile("routes served", (_, { servable, routes }) => [count(servable), `of ${count(routes)}`]),
    tile("revivals stopped", ({ now }) => [count(now.stopped)]),
    tile("sent / s", ({ now }) => split(bytes(now.bytesOutPerSecond))),
  ];
  const traffic = chart({
    title: "Requests",
    unit: "per second",
    format: number,
    series: [
      { label: "answered by pods", color: "--c1", stacked: true, value: ({ answered }) => answered },
      { label: "refused", color: "--c2", stacked: true, value: ({ refused }) => refused },
      { label: "failed", color: "--c3", stacked: true, value: ({ failed }) => failed },
    ],
  });
  const latency = chart({
    title: "Latency of pods' answers",
    unit: "whole answer",
    format: duration,
    series: [
      { label: "99 %", color: "--p99", value: ({ p99Ms }) => p99Ms },
      { label: "median", color: "--p50", value: ({ p50Ms }) => p50Ms },
    ],
  });
  const churn = chart({
    title: "Route churn",
    unit: "facts per second",
    format: number,
    series: [
      { label: "informer", color: "--c1", value: ({ informer }) => informer },
      { label: "peers", color: "--c4", value: ({ peer }) => peer },
      { label: "of these refused", color: "--c6", value: ({ ignored }) => ignored },
    ],
  });

  const reasons = rates("Answers by reason", "Reason", "No requests yet.", ({ name }) =>
    name === "ok" ? "good" : REFUSALS.has(name) ? "plain" : "bad",
  );
  const told = rates("What the table was told", "Writer and outcome", "Nothing yet.", ({ name }) =>
    name.endsWith(" applied") ? "good" : "plain",
  );
  const stopped = rates(
    "Resurrections stopped",
    "Writer and guard",
    "None: nobody has tried to bring a dead route back.",
    () => "stop",
  );

  const states = h("div", { class: "states", "aria-hidden": "true" });
  const stateTable = table(
    [
      { title: "State", heading: true, cell: ({ name }) => h("span", { class: `chip ${name}` }, name) },
      { title: "Routes", number: true, cell: ({ value }) => count(value) },
    ],
    { label: "Routes by state", key: ({ name }) => name, empty: "The table is empty." },
  );
  const facts = h("dl", { class: "facts" });

  section.append(
    h(
      "div",
      { class: "view" },
      h(
        "dl",
        { class: "tiles" },
        tiles.map(({ root }) => root),
      ),
      h("div", { class: "charts" }, traffic.root, latency.root, churn.root),
      h(
        "div",
        { class: "columns" },
        h("div", { class: "view" }, reasons.root, told.root),
        h(
          "div",
          { class: "view" },
          h(
            "div",
            { class: "card" },
            h("header", {}, h("h2", {}, "Route states"), h("p", {}, h("a", { href: "#/routes" }, "see all"))),
            states,
            stateTable.root,
            facts,
          ),
          stopped.root,
        ),
      ),
    ),
  );

  return {
    show(
      { traffic: { now, reasons: byReason, churn: byOutcome, stopped: byGuard }, overview: { counts }, atMs },
      points,
    ) {
      for (const each of tiles) each.update(now, counts);
      traffic.draw(points, atMs);
      latency.draw(points, atMs);
      churn.draw(points, atMs);
      reasons.setRows(byReason);
      told.setRows(byOutcome);
      stopped.setRows(byGuard);
      const present = STATES.map(([name, color]) => ({
        name,
        color,
        value: counts.states[name] ?? 0,
      })).filter(({ value }) => value > 0);
      keyed(
        states,
        present,
        ({ name }) => name,
        ({ color }) => {
          const part = h("i");
          part.style.background = `var(${color})`;
          return part;
        },
        (part, { value }) => void (part.style.flex = String(value)),
      );
      stateTable.setRows(present);
      fillFacts(facts, counts);
    },
  };
}

/** Words of `x-lychgate-reason` that are answers as they should be: the client asked for what is not there. */
const REFUSALS = new Set([
  "no_sandbox",
  "bad_target",
  "bad_request",
  "https_redirect",
  "tls_on_plain_port",
  "plain_on_tls_port",
  "client_certificate",
  "http2_on_plain_port",
  "proxy_protocol",
  "version_not_supported",
  "misdirected_request",
  "method_not_allowed",
  "max_forwards",
  "loop_detected",
  "headers_too_large",
  "request_timeout",
  "sandbox_not_found",
  "sandbox_id_conflict",
  "pod_ip_reassigned",
  "pod_ip_not_allowed",
  "sandbox_paused",
  "sandbox_creating",
  "sandbox_dead",
  "sandbox_not_running",
  "address_not_allowed",
  "rate_limited",
  "sandbox_private",
  "preview_token_invalid",
  "cross_site",
  "preview_entered",
  "traffic_token_invalid",
  "traffic_token_mismatch",
  "unauthorized",
  "jwt_verifier_not_ready",
  "client_closed",
  "draining",
]);

function tile(label, values, isAlarming = () => false) {
  const value = h("span");
  const small = h("small");
  const root = h("div", { class: "tile" }, h("dt", {}, label), h("dd", {}, value, small));
  return {
    root,
    update(now, counts) {
      const [main, more = ""] = values({ now }, counts);
      setText(value, main);
      setText(small, more);
      root.classList.toggle("alarm", isAlarming({ now }));
    },
  };
}

function split(text) {
  const space = text.lastIndexOf(" ");
  return space < 0 ? [text] : [text.slice(0, space), text.slice(space + 1)];
}

/** A card with counts as bars; `what` says what is counted. */
function rates(title, what, empty, color) {
  let most = 1;
  const rows = table(
    [
      { title: what, heading: true, cell: ({ name }) => name },
      {
        title: "Share",
        hiddenTitle: true,
        class: "bar",
        cell: (item) => {
          const bar = h("i", { class: color(item), "aria-hidden": "true" });
          bar.style.width = `${(100 * item.total) / most}%`;
          return bar;
        },
      },
      { title: "per second", number: true, cell: ({ perSecond }) => number(perSecond) },
      { title: "since the start", number: true, cell: ({ total }) => count(total) },
    ],
    { label: title, key: ({ name }) => name, empty },
  );
  return {
    root: h(
      "div",
      { class: "card" },
      h("header", {}, h("h2", {}, title), h("p", {}, "rate of the last minute")),
      rows.root,
    ),
    setRows(items) {
      most = Math.max(1, ...items.map(({ total }) => total));
      rows.setRows(items.slice(0, 12));
    },
  };
}

function fillFacts(list, { hints, tombstones, idConflicts, ipConflicts }) {
  const items = [
    ["pushed, not confirmed yet", hints],
    ["deletions remembered", tombstones],
    ["IDs in conflict", idConflicts],
    ["pod IPs in conflict", ipConflicts],
  ];
  if (list.children.length === 0) {
    for (const [label] of items) list.append(h("dt", {}, label), h("dd"));
  }
  items.forEach(([, value], index) => setText(list.children[2 * index + 1], count(value)));
}
