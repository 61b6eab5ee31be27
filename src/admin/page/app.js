import { h, keyed, setAttribute, setText } from "./dom.js";
import { explain } from "./explain.js";
import { span } from "./format.js";
import { history } from "./history.js";
import { listen, onUnauthorized, setToken } from "./live.js";
import { overview } from "./overview.js";
import { routes } from "./routes.js";
import { settings } from "./settings.js";
import { sources } from "./sources.js";

const byId = (id) => document.getElementById(id);
const VIEWS = ["overview", "routes", "explain", "sources", "configuration"];
const POINTS_KEPT_MS = 6 * 60_000;

const histories = history(byId("history"), () => {
  if (location.hash.startsWith("#/route/")) location.hash = `#/${view}`;
});
const openHistory = (namespace, name) => {
  location.hash = `#/route/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;
};
const overviewView = overview(byId("overview"));
const routesView = routes(byId("routes"), openHistory);
const explainView = explain(byId("explain"), openHistory);
const sourcesView = sources(byId("sources"));
const settingsView = settings(byId("configuration"));

// ---- which view

let view = "";
const nav = document.querySelector("nav");
/** What is seen of the link before the one that is chosen. */
const NAV_MARGIN = 40;

/** Its ends fade where there is more of it. */
function hintNav() {
  const { scrollLeft, scrollWidth, clientWidth } = nav;
  nav.classList.toggle("more-before", scrollLeft > 1);
  nav.classList.toggle("more-behind", scrollLeft + clientWidth < scrollWidth - 1);
}

nav.addEventListener("scroll", hintNav);
new ResizeObserver(hintNav).observe(nav);

function go() {
  const [, name = "", ...rest] = location.hash.split("/");
  if (name === "route" && rest.length === 2) {
    if (view === "") showView("routes");
    try {
      histories.open(decodeURIComponent(rest[0]), decodeURIComponent(rest[1]));
    } catch {
      showView("routes");
    }
    return;
  }
  histories.close();
  showView(VIEWS.includes(name) ? name : "overview");
}

function showView(name) {
  if (view === name) return;
  const isFirst = view === "";
  view = name;
  for (const id of VIEWS) byId(id).hidden = id !== name;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#/${name}`) {
      link.setAttribute("aria-current", "page");
      nav.scrollLeft = link.offsetLeft - nav.offsetLeft - NAV_MARGIN;
    } else link.removeAttribute("aria-current");
  }
  document.title = `${byId(name).getAttribute("aria-label")} · Lychgate`;
  routesView.setVisible(name === "routes");
  if (name === "configuration") void settingsView.load();
  if (last) show(last);
  if (name === "explain") explainView.focus();
  else if (!isFirst) byId("main").focus({ preventScroll: true });
}

addEventListener("hashchange", go);

// ---- what is so

let last;
let points = [];

function onStatus(status) {
  const { points: fresh } = status.traffic;
  const newest = points.at(-1)?.atMs ?? 0;
  // After a break the router sends all that it has.
  points = [...points, ...fresh.filter(({ atMs }) => atMs > newest)].filter(
    ({ atMs }) => atMs > status.atMs - POINTS_KEPT_MS,
  );
  last = status;
  if (document.visibilityState === "visible") show(status);
}

function show(status) {
  const {
    health,
    overview: { version, uptimeSeconds },
  } = status;
  setText(byId("version"), version);
  setText(byId("uptime"), `up ${span(uptimeSeconds)}`);
  setAttribute(byId("health"), "class", `health ${health.level}`);
  setText(byId("health-headline"), health.headline);
  const findings = health.level === "ok" ? [] : health.findings;
  keyed(
    byId("findings"),
    findings,
    ({ text }) => text.replaceAll(/\d+/g, "#"),
    () => h("li", {}, h("b"), " ", h("span")),
    (item, { text, advice }) => {
      setText(item.children[0], `${text[0].toUpperCase()}${text.slice(1)}.`);
      setText(item.children[1], advice);
    },
  );
  if (view === "overview") overviewView.show(status, points);
  if (view === "sources") sourcesView.show(status);
}

document.addEventListener("visibilitychange", () => {
  if (last && document.visibilityState === "visible") show(last);
});

function onState(state, why) {
  const live = byId("live");
  live.classList.toggle("on", state === "on");
  live.classList.toggle("off", state === "off");
  setText(live.querySelector("span"), state === "on" ? "live" : `not live: ${why}`);
  if (state === "off") {
    setAttribute(byId("health"), "class", "health down");
    setText(byId("health-headline"), `What is below may be old: ${why}`);
  }
}

// ---- the token

const login = byId("login");
let waiting;

onUnauthorized((wasRefused) => {
  setText(byId("login-fault"), wasRefused ? "The router does not take this token." : "");
  waiting ??= new Promise((resolve) => {
    login.addEventListener(
      "close",
      () => {
        setToken(byId("token").value);
        byId("token").value = "";
        waiting = undefined;
        resolve();
      },
      { once: true },
    );
    login.showModal();
  });
  return waiting;
});
// Without a token there is nothing behind the dialog.
login.addEventListener("cancel", (event) => event.preventDefault());

// ---- light and dark

const SCHEMES = ["auto", "light", "dark"];
const theme = byId("theme");

function setScheme(scheme) {
  if (scheme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = scheme;
  setText(theme, { auto: "Auto", light: "Light", dark: "Dark" }[scheme]);
  theme.setAttribute(
    "aria-label",
    `Color scheme: ${scheme === "auto" ? "auto, as the system has it" : scheme}`,
  );
  localStorage.setItem("lychgate-scheme", scheme);
}

theme.addEventListener("click", () => {
  const now = localStorage.getItem("lychgate-scheme") ?? "auto";
  setScheme(SCHEMES[(SCHEMES.indexOf(now) + 1) % SCHEMES.length]);
});
const stored = localStorage.getItem("lychgate-scheme");
setScheme(SCHEMES.includes(stored) ? stored : "auto");

go();
void listen(onStatus, onState);
