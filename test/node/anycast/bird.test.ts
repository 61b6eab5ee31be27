import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { BirdAnnouncer } from "../../../src/node/anycast/bird-announcer.ts";
import { withBird } from "../../../src/node/anycast/bird-control.ts";
import { scratch } from "./support/bird.ts";

/** A server of raw bytes at a control socket's place: greets, and answers each line with what `answer` returns. */
async function control(
  answer: (line: string) => string | readonly string[],
  greeting = "0001 BIRD 2.0.12 ready.\n",
) {
  const path = join(scratch("control"), "bird.ctl");
  const said: string[] = [];
  const server: Server = createServer((socket) => {
    socket.on("error", () => {});
    socket.write(greeting);
    socket.setEncoding("utf8");
    socket.on("data", (chunk: string) => {
      for (const line of chunk.split("\n").filter(Boolean)) {
        said.push(line);
        for (const piece of [answer(line)].flat()) socket.write(piece);
      }
    });
  });
  await new Promise<void>((resolve) => void server.listen(path, resolve));
  onTestFinished(() => void server.close());
  return { path, said };
}

describe("BIRD's control socket", () => {
  test("an answer ends with the first line whose code stands before a space", async () => {
    const { path } = await control(() => "1007-Table master4:\n 192.0.2.1/32 blackhole [x] * (200)\n0000 \n");
    const reply = await withBird(path, 1000, (bird) => bird.command("show route"));
    expect(reply).toEqual({
      code: "0000",
      lines: ["Table master4:", "192.0.2.1/32 blackhole [x] * (200)", ""],
    });
  });

  test("an answer may come in any pieces", async () => {
    const bytes = "0002-Reading configuration\n8002 bird.conf:1:1 syntax error\n";
    const { path } = await control(() => bytes.split(""));
    const reply = await withBird(path, 1000, (bird) => bird.command("configure"));
    expect(reply).toEqual({ code: "8002", lines: ["Reading configuration", "bird.conf:1:1 syntax error"] });
  });

  test("one that does not answer is given up, one that is not there is named with the fix", async () => {
    const { path } = await control(() => "");
    await expect(withBird(path, 30, (bird) => bird.command("configure"))).rejects.toMatchObject({
      code: "timeout",
      message: expect.stringContaining("within 30 ms"),
    });
    await expect(withBird("/nowhere/bird.ctl", 1000, () => Promise.resolve())).rejects.toMatchObject({
      fix: expect.stringContaining("is BIRD running"),
    });
  });

  test("something else that answers there is no BIRD", async () => {
    const { path } = await control(() => "", "220 mail.example.com ESMTP\n0009 hello\n");
    await expect(withBird(path, 1000, () => Promise.resolve())).rejects.toMatchObject({
      message: expect.stringContaining("greets with 0009"),
    });
  });

  test("an answer without end is cut", async () => {
    const { path } = await control(() => "1007-x\n".repeat(1_000_000));
    await expect(withBird(path, 5000, (bird) => bird.command("show route"))).rejects.toMatchObject({
      message: "BIRD's answer is too long",
    });
  });
});

describe("the included file", () => {
  const announcer = (path: string, folder: string) =>
    new BirdAnnouncer({
      controlSocket: path,
      includeFile: join(folder, "anycast.conf"),
      prefix: "lychgate_anycast",
      timeoutMs: 500,
    });

  test("has one static protocol with one blackhole route for each address, and is checked before it is used", async () => {
    const folder = scratch("include");
    const { path, said } = await control((line) =>
      line.startsWith("show route")
        ? "1007-Table master4:\n 192.0.2.10/32        blackhole [lychgate_anycast_192_0_2_10 07:06:09.345] * (200)\n \n Table master6:\n 2001:db8::10/128     blackhole [x 07:06:09.345] * (200)\n0000 \n"
        : "0003 Reconfigured\n",
    );
    const bird = announcer(path, folder);
    await bird.announce(new Set(["2001:db8::10", "192.0.2.10"]));
    expect(readFileSync(join(folder, "anycast.conf"), "utf8")).toBe(
      [
        "# Written by lychgate: changes are lost.",
        "protocol static lychgate_anycast_192_0_2_10 {",
        "  ipv4;",
        "  route 192.0.2.10/32 blackhole;",
        "}",
        "protocol static lychgate_anycast_20010db8000000000000000000000010 {",
        "  ipv6;",
        "  route 2001:db8::10/128 blackhole;",
        "}",
        "",
      ].join("\n"),
    );
    expect(said.slice(0, 2)).toEqual(["configure check", "configure"]);
    expect(await bird.inFile()).toEqual(new Set(["192.0.2.10", "2001:db8::10"]));
    expect(await bird.announced()).toEqual(new Set(["192.0.2.10", "2001:db8::10"]));
  });

  test("is put back when BIRD refuses; what had to go is disabled, and what was to come is not used", async () => {
    const folder = scratch("include");
    const { path, said } = await control((line) => {
      if (line === "configure check") return "0002-Reading configuration\n8002 bird.conf:3:1 syntax error\n";
      if (line.startsWith("show route"))
        return "1007-Table master4:\n 192.0.2.10/32 blackhole [x] * (200)\n0000 \n";
      return "0009-disabled\n0000 \n";
    });
    writeFileSync(join(folder, "anycast.conf"), "# as it was\n");
    await expect(announcer(path, folder).announce(new Set(["192.0.2.11"]))).rejects.toMatchObject({
      result: "refused",
      message: "BIRD refused its configuration: bird.conf:3:1 syntax error",
    });
    expect(readFileSync(join(folder, "anycast.conf"), "utf8")).toBe("# as it was\n");
    expect(said).toContain("disable lychgate_anycast_192_0_2_10");
    expect(said).not.toContain("configure");
  });

  test("that BIRD's configuration does not include is told", async () => {
    const folder = scratch("include");
    const { path } = await control((line) => (line.startsWith("show") ? "0000 \n" : "0003 Reconfigured\n"));
    await expect(announcer(path, folder).announce(new Set(["192.0.2.11"]))).rejects.toMatchObject({
      fix: expect.stringContaining("include"),
    });
  });

  test("says what is wanted also when BIRD is away", async () => {
    const folder = scratch("include");
    const bird = announcer(join(folder, "none.ctl"), folder);
    await expect(bird.announce(new Set(["192.0.2.11"]))).rejects.toMatchObject({ result: "unreachable" });
    expect(existsSync(join(folder, "anycast.conf"))).toBe(true);
    expect(await bird.inFile()).toEqual(new Set(["192.0.2.11"]));
  });
});
