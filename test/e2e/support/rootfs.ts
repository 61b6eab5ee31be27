import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, renameSync } from "node:fs";
import { dirname } from "node:path";

/** Where Debian's root file system lies. */
export const ROOTFS = process.env["LYCHGATE_TEST_ROOTFS"] ?? "/var/cache/lychgate/bookworm-node26";
/** The last is what Node 26 is linked against. */
const PACKAGES = "systemd,systemd-sysv,dbus,iproute2,bird2,libatomic1";

/** Makes Debian's root file system, once for all runs: it stays where it is. Takes about a minute. */
export function makeRootfs(): void {
  if (existsSync(ROOTFS)) return;
  mkdirSync(dirname(ROOTFS), { recursive: true });
  const draft = mkdtempSync(`${ROOTFS}.`);
  execFileSync("debootstrap", ["--variant=minbase", `--include=${PACKAGES}`, "bookworm", draft], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  renameSync(draft, ROOTFS);
}
