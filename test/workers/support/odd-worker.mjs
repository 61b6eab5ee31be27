// A worker that behaves as its argument says; see supervisor.test.ts. It serves nothing.
const [, , behaviour] = process.argv;
const send = (message) => process.connected && process.send(message, () => {});
let listening = false;

process.on("disconnect", () => process.exit());
process.on("message", (message) => {
  if (message.kind === "start" && behaviour === "cannot-start") {
    send({ kind: "failed", message: "listen EACCES", code: "EACCES" });
  }
  if (message.kind === "routes" && !(listening && behaviour === "falls-silent")) {
    send({ kind: "applied", sequence: message.batch.sequence });
    if (listening || behaviour === "cannot-start") return;
    listening = true;
    send({ kind: "listening", addresses: { plain: { address: "127.0.0.1", family: "IPv4", port: 7 } } });
    if (behaviour === "ends-soon") setTimeout(() => process.exit(3), 5);
  }
  if (message.kind === "metrics" && behaviour !== "hides-metrics") {
    send({ kind: "metrics", request: message.request, metrics: "mine" });
  }
  if (message.kind === "drain" && behaviour !== "never-drains") process.exit(0);
});
