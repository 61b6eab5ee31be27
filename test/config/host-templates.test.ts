import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compileHostTemplate } from "../../src/proxy/target/host-template.ts";
import { faults } from "./support.ts";

const accepted = (template: string) =>
  faults({ file: JSON.stringify({ target: { templates: [template] } }) }).length === 0;

describe("host templates", () => {
  test.each([
    "{name}.{namespace}.actors.resources.substrate.ate.dev",
    "{name}.{namespace}.actors.example.com:80",
    "{port}-{id}.example.com",
    "sbx-{id}.{port}.example.com",
    "{id}.Example.com",
  ])("accepted: %s", (template) => {
    expect(accepted(template)).toBe(true);
  });

  test.each([
    ["example.com", "must hold either {id}, or both {name} and {namespace}"],
    ["{name}.example.com", "must hold either {id}, or both {name} and {namespace}"],
    ["{id}.{name}.{namespace}.x.dev", "must hold either {id}, or both {name} and {namespace}"],
    ["{id}.{id}.x.dev", "must not use a placeholder twice"],
    ["{box}.x.dev", "must not use {box}: known are {id}, {name}, {namespace}, {port}"],
    ["x.{id}", "must end in a domain without placeholders"],
    ["{id}.x.dev:99999", "must end in a port from 1 to 65535 after its colon"],
    ["{port}-{id}.x.dev:80", "must not hold {port} beside a port after a colon"],
    ["{name}-{namespace}.x.dev", "must not hold two names in one label"],
    ["{port}{id}.x.dev", "must part {port} from a name in its label by - or letters"],
    ["{id.x.dev", "must hold either {id}, or both {name} and {namespace}"],
    ["{id}}.x.dev", "must be a host name around its placeholders"],
  ])("refused: %s", (template, rule) => {
    const [fault] = faults({ file: JSON.stringify({ target: { templates: [template] } }) });
    expect(fault).toContain(`target.templates ${rule}`);
  });

  test("the schema accepts exactly what the proxy compiles", () => {
    const part = fc.constantFrom(
      "{id}",
      "{name}",
      "{namespace}",
      "{port}",
      "-",
      ".",
      ".",
      "a",
      "7",
      ".dev",
      ":80",
      "_",
      "{",
      "}",
      "é",
    );
    fc.assert(
      fc.property(
        fc.array(part, { maxLength: 9 }).map((parts) => `${parts.join("")}.dev`),
        (template) => {
          const compile = () => compileHostTemplate(template);
          if (accepted(template)) expect(compile).not.toThrow();
          else expect(compile).toThrow();
        },
      ),
      { numRuns: 3000 },
    );
  });
});
