import { fill, h, setText } from "./dom.js";
import { fillFacts } from "./history.js";
import { ask } from "./live.js";
import { requestOf } from "./pasted.js";

/** Asks what would happen to a request for a pasted URL or Host. `open(namespace, name)` shows a route's history. */
export function explain(section, open) {
  const input = h("input", {
    type: "text",
    id: "explain-input",
    autocomplete: "off",
    spellcheck: "false",
    required: true,
    placeholder: "https://3000-mybox.example.com/path, or a Host",
  });
  const headers = h("textarea", {
    id: "explain-headers",
    rows: "2",
    spellcheck: "false",
    placeholder: "e2b-sandbox-id: mybox",
  });
  const fault = h("p", { class: "fault", role: "alert" });
  const answer = h("div", {
    class: "card",
    role: "region",
    "aria-label": "Explanation",
    "aria-live": "polite",
    hidden: true,
  });
  const form = h(
    "form",
    { class: "explain-form" },
    h(
      "div",
      { class: "ask" },
      h(
        "div",
        { class: "field wide" },
        h("label", { for: "explain-input" }, "URL or Host of the request"),
        input,
      ),
      h("button", { type: "submit", class: "main" }, "Explain"),
    ),
    h(
      "details",
      {},
      h("summary", {}, "Headers of the request"),
      h(
        "label",
        { for: "explain-headers", class: "over" },
        "One on each line; values are neither shown nor logged",
      ),
      headers,
    ),
    fault,
  );
  section.append(
    h(
      "div",
      { class: "view" },
      h(
        "div",
        { class: "card" },
        h(
          "header",
          {},
          h("h2", {}, "Where would a request go, and why (not)?"),
          h("p", {}, "Nothing is sent to the sandbox."),
        ),
        form,
      ),
      answer,
    ),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void run();
  });

  async function run() {
    setText(fault, "");
    const { host, path } = requestOf(input.value.trim());
    const header = headers.value
      .split("\n")
      .map((line) => line.trim())
      .filter(Boolean);
    try {
      show(await ask("/api/explain", { host, path, header }), host);
    } catch (error) {
      answer.hidden = true;
      setText(fault, error.message);
    }
  }

  function show({ steps, verdict, route, former }, host) {
    const isGood = verdict.status === 0;
    const facts = h("dl", { class: "facts" });
    if (route) fillFacts(facts, route);
    const object = route ?? former;
    fill(
      answer,
      h("header", {}, h("h2", {}, host)),
      h(
        "div",
        { class: `verdict ${isGood ? "good" : "bad"}` },
        h(
          "b",
          {},
          isGood ? "The pod would answer" : `The router would answer ${verdict.status} (${verdict.reason})`,
        ),
        h("p", {}, verdict.message),
      ),
      h(
        "ol",
        { class: "steps" },
        steps.map(({ step, result }) => h("li", {}, h("b", {}, step), h("span", {}, result))),
      ),
      route
        ? [
            h("h2", { class: "over-facts" }, `${route.namespace}/${route.name}`),
            facts,
            route.servable && verdict.reason === "sandbox_not_found"
              ? h("p", { class: "note" }, `It is served, but under its own ID: ${route.id}`)
              : undefined,
          ]
        : undefined,
      object
        ? h(
            "p",
            { class: "after" },
            h(
              "button",
              { type: "button", class: "quiet", onclick: () => open(object.namespace, object.name) },
              "Its history",
            ),
          )
        : undefined,
    );
    answer.hidden = false;
  }

  return {
    ask(text) {
      input.value = text;
      void run();
    },
    focus: () => input.focus(),
  };
}
