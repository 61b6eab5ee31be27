// Requests until SIGTERM, each on a connection of its own: node requests.ts URL WORKERS PAUSE_MS. Then prints what became of
// them as JSON.
import { get } from "node:http";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";

const [url = "", workers, pauseMs] = process.argv.slice(2);
const failed: Record<string, number> = {};
const byPod: Record<string, number> = {};
let ok = 0;
let stopping = false;

async function work(): Promise<void> {
  while (!stopping) {
    try {
      const name = await request();
      byPod[name] = (byPod[name] ?? 0) + 1;
      ok += 1;
    } catch (error) {
      const code = String((error as NodeJS.ErrnoException).code);
      failed[code] = (failed[code] ?? 0) + 1;
    }
    await sleep(Number(pauseMs));
  }
}

function request(): Promise<string> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false, timeout: 3000 }, (response) => {
      text(response).then(resolve, reject);
    })
      .on("timeout", function onTimeout(this: import("node:http").ClientRequest) {
        this.destroy(Object.assign(new Error("no answer"), { code: "ETIMEDOUT" }));
      })
      .on("error", reject);
  });
}

process.on("SIGTERM", () => {
  stopping = true;
});
const running = Array.from({ length: Number(workers) }, work);
void Promise.all(running).then(() => process.stdout.write(JSON.stringify({ ok, failed, byPod })));
