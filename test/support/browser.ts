import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";

/** Where Debian's package and others put it. */
const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** The Chromium of this machine, if it has one; `CHROMIUM` names another. */
export const CHROMIUM: string | undefined = [process.env["CHROMIUM"], ...PLACES].find(
  (path) => path !== undefined && existsSync(path),
);

/** Starts it without a window. It talks to nobody but whom it is sent to. */
export function openBrowser(more: readonly string[] = []): Promise<Browser> {
  if (CHROMIUM === undefined) throw new Error("there is no Chromium here: apt-get install chromium");
  return chromium.launch({
    executablePath: CHROMIUM,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-background-networking",
      "--disable-component-update",
      ...more,
    ],
  });
}
