// Requests until SIGTERM, each on a connection of its own: node requests.ts URL WORKERS PAUSE_MS. Then prints what became of
// them as JSON.
import { get } from "node:http";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";

const [url = "", workers, pauseMs] = process.argv.slice(2);
const failed: Record<string, number> = {};
const byPod: Record<string, number> = {};
let ok = 0;
const stopping = new AbortController();

async function work(): Promise<void> {
  while (!stopping.signal.aborted) {
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
    const sent = get(url, { agent: false, timeout: 3000 }, (response) => {
      text(response).then(resolve, reject);
    });
    sent.on("timeout", () => sent.destroy(Object.assign(new Error("no answer"), { code: "ETIMEDOUT" })));
    sent.on("error", reject);
  });
}

process.on("SIGTERM", () => stopping.abort());
const running = Array.from({ length: Number(workers) }, work);
void Promise.all(running).then(() => process.stdout.write(JSON.stringify({ ok, failed, byPod })));
