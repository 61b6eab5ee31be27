// A pod's HTTP server: node pod-server.ts PORT NAME. Answers with its name after a few milliseconds, so that requests are
// under way when things change. On SIGTERM it accepts no more, finishes what it has within a second, and exits.
import { createServer } from "node:http";

const [port, name] = process.argv.slice(2);
const server = createServer((_request, response) => {
  setTimeout(() => response.end(name), 5);
});
server.listen(Number(port), "::", () => process.stdout.write("listening\n"));
process.on("SIGTERM", () => {
  server.close(() => process.exit(0));
  // As the kubelet's SIGKILL: a connection whose packets go elsewhere by now never ends.
  setTimeout(() => process.exit(0), 1000);
});
