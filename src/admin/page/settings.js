import { h, setText, table } from "./dom.js";
import { ask } from "./live.js";

/** The configuration in effect, and where each value comes from. */
export function settings(section) {
  const text = h("input", {
    type: "search",
    id: "settings-text",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "key, value, origin or words of the description",
  });
  const changed = h("input", { type: "checkbox", id: "settings-changed" });
  const found = h("p", { class: "found", role: "status" });
  const file = h("p");
  const rows = table(
    [
      { title: "Key", heading: true, cell: ({ key }) => h("code", {}, key) },
      { title: "Value", class: "value", cell: ({ value }) => value },
      { title: "Origin", cell: ({ origin }) => origin },
      { title: "What it does", class: "what", cell: ({ description }) => plain(description) },
    ],
    {
      label: "Configuration",
      // The view itself is the region "Configuration".
      region: "Settings",
      stacks: true,
      key: ({ key }) => key,
      empty: "No setting matches.",
      rowClass: ({ isDefault }) => (isDefault ? "" : "changed"),
    },
  );
  section.append(
    h(
      "div",
      { class: "card config" },
      h("header", {}, h("h2", {}, "Configuration in effect"), file),
      h(
        "form",
        { class: "tools", role: "search", onsubmit: (event) => event.preventDefault() },
        h("div", { class: "field wide" }, h("label", { for: "settings-text" }, "Filter"), text),
        h("label", { class: "check" }, changed, "only what is not the default"),
      ),
      found,
      rows.root,
    ),
  );
  let all = [];
  function render() {
    const words = text.value.trim().toLowerCase();
    const matching = all.filter(
      ({ key, value, origin, description, isDefault }) =>
        (!changed.checked || !isDefault) &&
        [key, value, origin, description].some((part) => part.toLowerCase().includes(words)),
    );
    setText(
      found,
      matching.length === all.length
        ? `${all.length} settings`
        : `${matching.length} of ${all.length} settings`,
    );
    rows.setRows(matching);
  }
  text.addEventListener("input", render);
  changed.addEventListener("change", render);
  return {
    async load() {
      try {
        const answer = await ask("/api/config");
        all = answer.settings;
        setText(file, answer.file ? `file: ${answer.file}` : "no file: flags, environment and defaults");
        render();
      } catch (error) {
        setText(found, error.message);
      }
    },
  };
}

/** Descriptions are written in Markdown's plainest form. */
function plain(markdown) {
  const parts = markdown.split("`");
  return h(
    "span",
    {},
    parts.map((part, index) => (index % 2 === 1 ? h("code", {}, part) : part)),
  );
}
