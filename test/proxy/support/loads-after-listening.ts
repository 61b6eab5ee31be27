import { registerHooks } from "node:module";

/*
 * A process of its own (full-lane-loading.test.ts): a router, and one request for each way through it. Prints the modules that
 * were loaded before it listened and after, as JSON.
 */
const before: string[] = [];
const after: string[] = [];
let listening = false;
registerHooks({
  load(url, context, nextLoad) {
    (listening ? after : before).push(url);
    return nextLoad(url, context);
  },
});
const { Router } = await import("./router.ts");
const { OK, RawPod } = await import("./raw-peer.ts");

const pod = await RawPod.listen();
const router = await Router.start();
router.routes.run("box");
listening = true;

const host = `${pod.port}-box.example.com`;
pod.answerAll((head) =>
  head.includes("Upgrade: ") || head.includes("upgrade: ")
    ? "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    : OK,
);
const ways = [
  `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
  `GET http://${host}/ HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
  `GET /ws HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
];
const answers: string[] = [];
for (const way of ways) {
  const client = await router.client();
  client.write(way);
  answers.push((await client.until("\r\n\r\n")).slice(9, 12));
  client.socket.destroy();
}
await router.close();
await pod.close();
process.stdout.write(JSON.stringify({ before, after, answers }));
